// Classifies the intent of a sentence. Write the model next to this file: kinglet export home-intent.kinglet --c Intents --tokens 32
#include <kinglet.h>

extern "C" {
#include "home_intent.h"
}

const size_t MAX_TOKENS = 32;
KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + HOME_INTENT_ARENA_BYTES];
static uint32_t scratch[2048];
static kinglet_engine *engine = nullptr;

static void say(const char *sentence) {
    uint32_t ids[MAX_TOKENS];
    kinglet_tokens tokens = {ids, nullptr, nullptr, nullptr, MAX_TOKENS, 0};
    kinglet_status status = kinglet_tokenize(engine, sentence, strlen(sentence), nullptr, 0, scratch, 2048, &tokens);
    if (status == KINGLET_OK) status = kinglet_encode(engine, ids, nullptr, tokens.count);

    const int32_t *logits = nullptr;
    const char *label = nullptr;
    size_t count = 0, bytes = 0;
    if (status == KINGLET_OK) status = kinglet_logits(engine, &logits, &count);
    if (status == KINGLET_OK) status = kinglet_label(engine, kinglet_argmax(logits, count), &label, &bytes);
    if (status == KINGLET_OK) {
        Serial.write((const uint8_t *)label, bytes);
        Serial.println();
    } else {
        Serial.println((int)status);
    }
}

void setup() {
    Serial.begin(115200);
    kinglet_open(home_intent_blob, HOME_INTENT_BLOB_BYTES, memory, sizeof memory, MAX_TOKENS, &engine);
}

void loop() {
    say("Dim the hallway lights to thirty percent.");
    delay(5000);
}
