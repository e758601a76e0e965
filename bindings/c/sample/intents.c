/* Classifies the intents of sentences. */
#include "kinglet.h"

#include "home_intent.h"
#include "port/port.h"

#define MAX_TOKENS 32u

KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + HOME_INTENT_ARENA_BYTES];
static uint32_t scratch[2048];

static const char *const sentences[] = {
    "Turn the lamp on in the kitchen, please.",
    "Dim the hallway lights to thirty percent.",
    "I need light in the cellar!",
    "Wake me up at half past six.",
    "Could you please roll the bedroom blinds up?",
    "Skip to the next song",
    "Do I need a coat tomorrow?",
    "Let the robot vacuum the living room.",
};

/* Prints the label of a sentence, and adds its logits to the fingerprint. */
static kinglet_status label(kinglet_engine *engine, const char *sentence, uint32_t *fingerprint) {
    uint32_t ids[MAX_TOKENS];
    kinglet_tokens tokens = {ids, NULL, NULL, NULL, MAX_TOKENS, 0};
    kinglet_status status = kinglet_tokenize(engine, sentence, port_length(sentence), NULL, 0, scratch,
                                             sizeof scratch / sizeof *scratch, &tokens);
    if (status != KINGLET_OK) return status;
    status = kinglet_encode(engine, ids, NULL, tokens.count);
    if (status != KINGLET_OK) return status;

    const int32_t *logits;
    size_t count;
    status = kinglet_logits(engine, &logits, &count);
    if (status != KINGLET_OK) return status;
    *fingerprint = port_fingerprint(*fingerprint, logits, count);

    const char *name;
    size_t bytes;
    status = kinglet_label(engine, kinglet_argmax(logits, count), &name, &bytes);
    if (status != KINGLET_OK) return status;
    port_print(sentence, port_length(sentence));
    port_print(" -> ", 4);
    port_print(name, bytes);
    port_print("\n", 1);
    return KINGLET_OK;
}

int main(void) {
    kinglet_engine *engine;
    kinglet_status status = kinglet_open(home_intent_blob, HOME_INTENT_BLOB_BYTES, memory, sizeof memory, MAX_TOKENS, &engine);
    uint32_t fingerprint = PORT_FINGERPRINT;
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences && status == KINGLET_OK; i++) {
        status = label(engine, sentences[i], &fingerprint);
    }
    return port_end(engine, status, fingerprint);
}
