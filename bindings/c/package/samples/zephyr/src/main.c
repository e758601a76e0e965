/* Classifies the intent of a sentence. */
#include <kinglet.h>
#include <stdio.h>
#include <string.h>

#include "home_intent.h"

#define MAX_TOKENS 32u

KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + HOME_INTENT_ARENA_BYTES];
static uint32_t scratch[2048];

int main(void) {
    static const char sentence[] = "Dim the hallway lights to thirty percent.";
    kinglet_engine *engine = NULL;
    kinglet_status status = kinglet_open(home_intent_blob, HOME_INTENT_BLOB_BYTES, memory, sizeof memory, MAX_TOKENS, &engine);

    uint32_t ids[MAX_TOKENS];
    kinglet_tokens tokens = {ids, NULL, NULL, NULL, MAX_TOKENS, 0};
    if (status == KINGLET_OK) status = kinglet_tokenize(engine, sentence, strlen(sentence), NULL, 0, scratch, 2048, &tokens);
    if (status == KINGLET_OK) status = kinglet_encode(engine, ids, NULL, tokens.count);

    const int32_t *logits;
    size_t count;
    const char *label;
    size_t bytes;
    if (status == KINGLET_OK) status = kinglet_logits(engine, &logits, &count);
    if (status == KINGLET_OK) status = kinglet_label(engine, kinglet_argmax(logits, count), &label, &bytes);
    if (status == KINGLET_OK) {
        printf("%s -> %.*s\n", sentence, (int)bytes, label);
    } else {
        printf("error %d\n", (int)status);
    }
    return 0;
}
