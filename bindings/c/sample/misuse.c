/* Makes calls with invalid pointers, sizes and tokens, and in the wrong order. Each must return an error. */
#include "kinglet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "home_intent.h"

#define MAX_TOKENS 32u
#define WORDS 2048u

KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + HOME_INTENT_ARENA_BYTES];
KINGLET_ALIGNED static uint8_t changed[HOME_INTENT_BLOB_BYTES];
static uint32_t scratch[WORDS];
static unsigned refused, succeeded;

/* Stops the program if a call does not return the expected status; `wanted` is -1 for any error. */
static void returned(int line, kinglet_status status, kinglet_status wanted) {
    if (wanted == -1 ? status == KINGLET_OK : status != wanted) {
        printf("line %d: %d in place of %d\n", line, (int)status, (int)wanted);
        exit(1);
    }
    if (status == KINGLET_OK) {
        succeeded++;
    } else {
        refused++;
    }
}
#define REFUSED(call, wanted) returned(__LINE__, call, wanted)
#define OK(call) returned(__LINE__, call, KINGLET_OK)

static kinglet_engine *open_engine(void) {
    kinglet_engine *engine;
    OK(kinglet_open(home_intent_blob, HOME_INTENT_BLOB_BYTES, memory, sizeof memory, MAX_TOKENS, &engine));
    return engine;
}

static void opening(void) {
    const uint8_t *blob = home_intent_blob;
    const size_t bytes = HOME_INTENT_BLOB_BYTES;
    kinglet_engine *engine;
    REFUSED(kinglet_open(NULL, bytes, memory, sizeof memory, MAX_TOKENS, &engine), KINGLET_NULL_POINTER);
    REFUSED(kinglet_open(blob, bytes, NULL, sizeof memory, MAX_TOKENS, &engine), KINGLET_NULL_POINTER);
    REFUSED(kinglet_open(blob, bytes, memory, sizeof memory, MAX_TOKENS, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_open(blob, 0, memory, sizeof memory, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob, bytes - 1, memory, sizeof memory, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob + 16, bytes - 16, memory, sizeof memory, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob + 1, bytes - 1, memory, sizeof memory, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob, bytes, memory, 0, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob, bytes, memory, KINGLET_ENGINE_BYTES, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob, bytes, memory, sizeof memory - 16, MAX_TOKENS, &engine), -1);
    REFUSED(kinglet_open(blob, bytes, memory, sizeof memory, 1u << 20, &engine), -1);
    REFUSED(kinglet_open(blob, bytes, memory, sizeof memory, SIZE_MAX, &engine), -1);
    for (size_t beyond = 1; beyond < 16; beyond++) {
        REFUSED(kinglet_open(blob, bytes, memory + beyond, sizeof memory - beyond, 4, &engine), -1);
    }
    if (engine != NULL) exit(1);
    for (size_t byte = 0; byte < 512; byte += 8) {
        memcpy(changed, blob, bytes);
        changed[byte * (bytes / 512)] ^= 0x10;
        REFUSED(kinglet_open(changed, bytes, memory, sizeof memory, MAX_TOKENS, &engine), -1);
    }
    if (kinglet_memory_bytes(NULL, bytes, MAX_TOKENS) != SIZE_MAX) exit(1);
    if (kinglet_memory_bytes(blob, bytes, MAX_TOKENS) != sizeof memory) exit(1);
}

static void without_an_engine(kinglet_engine *engine, kinglet_status wanted) {
    const uint32_t ids[] = {1, 2};
    const int32_t *logits;
    float scores[32];
    size_t count = 1;
    uint32_t token, text[8] = {1};
    int32_t pairs[8];
    kinglet_span span;
    kinglet_stop stop;
    kinglet_sampling sampling = kinglet_sampling_greedy();
    kinglet_generate_options options = kinglet_generate_options_default(engine, 4);
    kinglet_tokens tokens = {text, NULL, NULL, NULL, 8, 0};
    const char *label;
    uint8_t flash[64];
    REFUSED(kinglet_tokenize(engine, "a", 1, NULL, 0, scratch, WORDS, &tokens), wanted);
    REFUSED(kinglet_decode(engine, ids, 2, true, NULL, NULL), wanted);
    REFUSED(kinglet_encode(engine, ids, NULL, 2), wanted);
    REFUSED(kinglet_prefill(engine, ids, 2), wanted);
    REFUSED(kinglet_step(engine, 1), wanted);
    REFUSED(kinglet_logits(engine, &logits, &count), wanted);
    REFUSED(kinglet_logits_at(engine, 0, &logits, &count), wanted);
    REFUSED(kinglet_reset(engine), wanted);
    REFUSED(kinglet_rewind(engine, 0), wanted);
    REFUSED(kinglet_snapshot(engine, flash, sizeof flash, &count), wanted);
    REFUSED(kinglet_restore(engine, flash, sizeof flash), wanted);
    REFUSED(kinglet_sample(engine, &sampling, NULL, 0, &token), wanted);
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), wanted);
    REFUSED(kinglet_classify(engine, ids, NULL, 2, scores, 32, &count), wanted);
    REFUSED(kinglet_tag(engine, ids, NULL, 2, scores, 32, NULL, NULL), wanted);
    REFUSED(kinglet_embed(engine, ids, NULL, 2, scores, 32, &count), wanted);
    REFUSED(kinglet_answer(engine, ids, NULL, 2, 0, 2, 2, pairs, 4, &span), wanted);
    REFUSED(kinglet_fill_mask(engine, ids, NULL, 2, 1, NULL, NULL), wanted);
    REFUSED(kinglet_score(engine, ids, 2, NULL, NULL), wanted);
    REFUSED(kinglet_label(engine, 0, &label, &count), wanted);
    REFUSED(kinglet_set_pause(engine, NULL, NULL), wanted);
    REFUSED(kinglet_self_test(engine), wanted);
    REFUSED(kinglet_close(engine), wanted);
    if (kinglet_position(engine) + kinglet_remaining(engine) + kinglet_snapshot_bytes(engine) != 0) exit(1);
    char said[32];
    if (kinglet_error_text(engine, said, sizeof said) == 0) exit(1);
}

static void reading(kinglet_engine *engine) {
    const uint32_t ids[] = {1, 2, 3, 4};
    const uint32_t unknown[] = {1, 0xffffffffu};
    const uint8_t types[] = {0, 9, 0, 0};
    static uint32_t many[MAX_TOKENS + 1];
    const int32_t *logits;
    size_t count;
    REFUSED(kinglet_logits(engine, &logits, &count), -1);
    REFUSED(kinglet_logits_at(engine, 0, &logits, &count), -1);
    REFUSED(kinglet_encode(engine, NULL, NULL, 4), KINGLET_NULL_POINTER);
    REFUSED(kinglet_encode(engine, (const uint32_t *)(const void *)((const char *)ids + 1), NULL, 2), KINGLET_MISALIGNED_POINTER);
    REFUSED(kinglet_encode(engine, ids, NULL, 0), -1);
    REFUSED(kinglet_encode(engine, many, NULL, MAX_TOKENS + 1), -1);
    REFUSED(kinglet_encode(engine, unknown, NULL, 2), -1);
    REFUSED(kinglet_encode(engine, ids, types, 4), -1);
    REFUSED(kinglet_prefill(engine, ids, 4), -1);
    REFUSED(kinglet_step(engine, 1), -1);
    REFUSED(kinglet_rewind(engine, 5), -1);
    OK(kinglet_encode(engine, ids, NULL, 4));
    REFUSED(kinglet_logits(engine, NULL, &count), KINGLET_NULL_POINTER);
    REFUSED(kinglet_logits(engine, &logits, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_logits_at(engine, 4, &logits, &count), -1);
    REFUSED(kinglet_logits_at(engine, SIZE_MAX, &logits, &count), -1);
    OK(kinglet_logits(engine, &logits, &count));
    if (count != HOME_INTENT_LABELS_COUNT) exit(1);
}

static void tasks(kinglet_engine *engine) {
    const uint32_t ids[] = {1, 2, 3, 4};
    float scores[HOME_INTENT_LABELS_COUNT];
    int32_t pairs[8];
    size_t count;
    kinglet_span span;
    REFUSED(kinglet_classify(engine, NULL, NULL, 4, scores, HOME_INTENT_LABELS_COUNT, &count), KINGLET_NULL_POINTER);
    REFUSED(kinglet_classify(engine, ids, NULL, 4, NULL, HOME_INTENT_LABELS_COUNT, &count), KINGLET_NULL_POINTER);
    REFUSED(kinglet_classify(engine, ids, NULL, 4, scores, HOME_INTENT_LABELS_COUNT - 1, &count), -1);
    REFUSED(kinglet_classify(engine, ids, NULL, 4, scores, 0, &count), -1);
    REFUSED(kinglet_classify(engine, ids, NULL, 4, scores, HOME_INTENT_LABELS_COUNT, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_classify(engine, ids, NULL, 0, scores, HOME_INTENT_LABELS_COUNT, &count), -1);
    REFUSED(kinglet_tag(engine, ids, NULL, 4, scores, HOME_INTENT_LABELS_COUNT, NULL, NULL), -1);
    REFUSED(kinglet_embed(engine, ids, NULL, 4, scores, 1, &count), -1);
    REFUSED(kinglet_answer(engine, ids, NULL, 4, 0, 4, 4, pairs, 4, &span), -1);
    REFUSED(kinglet_answer(engine, ids, NULL, 4, 3, 1, 4, pairs, 4, &span), -1);
    REFUSED(kinglet_answer(engine, ids, NULL, 4, 0, 4, 4, pairs, 4, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_fill_mask(engine, ids, NULL, 4, 1, NULL, NULL), -1);
    REFUSED(kinglet_score(engine, ids, 4, NULL, NULL), -1);
    OK(kinglet_classify(engine, ids, NULL, 4, scores, HOME_INTENT_LABELS_COUNT, &count));
}

static void texts(kinglet_engine *engine) {
    static const char sentence[] = "turn the lamp on";
    uint32_t ids[MAX_TOKENS];
    kinglet_tokens tokens = {ids, NULL, NULL, NULL, MAX_TOKENS, 0};
    REFUSED(kinglet_tokenize(engine, NULL, 4, NULL, 0, scratch, WORDS, &tokens), KINGLET_NULL_POINTER);
    REFUSED(kinglet_tokenize(engine, sentence, 16, NULL, 0, NULL, WORDS, &tokens), KINGLET_NULL_POINTER);
    REFUSED(kinglet_tokenize(engine, sentence, 16, NULL, 0, scratch, WORDS, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_tokenize(engine, "\xff\xfe", 2, NULL, 0, scratch, WORDS, &tokens), KINGLET_NOT_UTF8);
    REFUSED(kinglet_tokenize(engine, sentence, 16, "\xc3", 1, scratch, WORDS, &tokens), KINGLET_NOT_UTF8);
    for (size_t words = 0; words < 20; words++) {
        REFUSED(kinglet_tokenize(engine, sentence, 16, NULL, 0, scratch, words, &tokens), -1);
    }
    tokens.capacity = 2;
    REFUSED(kinglet_tokenize(engine, sentence, 16, NULL, 0, scratch, WORDS, &tokens), -1);
    tokens.capacity = MAX_TOKENS;
    tokens.ids = NULL;
    REFUSED(kinglet_tokenize(engine, sentence, 16, NULL, 0, scratch, WORDS, &tokens), KINGLET_NULL_POINTER);
    tokens.ids = ids;
    OK(kinglet_tokenize(engine, sentence, 16, NULL, 0, scratch, WORDS, &tokens));
    OK(kinglet_tokenize(engine, "", 0, NULL, 0, scratch, WORDS, &tokens));
    REFUSED(kinglet_decode(engine, NULL, 4, true, NULL, NULL), KINGLET_NULL_POINTER);
    OK(kinglet_decode(engine, ids, 0, true, NULL, NULL));
}

static void writing(kinglet_engine *engine) {
    uint32_t token, text[8] = {1};
    size_t count = 1;
    kinglet_stop stop;
    kinglet_sampling sampling = kinglet_sampling_greedy();
    kinglet_generate_options options = kinglet_generate_options_default(engine, 4);
    REFUSED(kinglet_sample(engine, NULL, NULL, 0, &token), KINGLET_NULL_POINTER);
    REFUSED(kinglet_sample(engine, &sampling, NULL, 1, &token), KINGLET_NULL_POINTER);
    REFUSED(kinglet_sample(engine, &sampling, NULL, 0, NULL), KINGLET_NULL_POINTER);
    sampling.temperature = 1;
    REFUSED(kinglet_sample(engine, &sampling, NULL, 0, &token), -1);
    sampling.temperature = 0;
    sampling.top_p = 2 * KINGLET_ONE;
    REFUSED(kinglet_sample(engine, &sampling, NULL, 0, &token), -1);
    sampling = kinglet_sampling_greedy();
    REFUSED(kinglet_generate(engine, NULL, 8, &count, &options, &sampling, NULL, NULL, &stop), KINGLET_NULL_POINTER);
    REFUSED(kinglet_generate(engine, text, 8, NULL, &options, &sampling, NULL, NULL, &stop), KINGLET_NULL_POINTER);
    REFUSED(kinglet_generate(engine, text, 8, &count, NULL, &sampling, NULL, NULL, &stop), KINGLET_NULL_POINTER);
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, NULL, NULL, NULL, &stop), KINGLET_NULL_POINTER);
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, NULL), KINGLET_NULL_POINTER);
    options.stop = NULL;
    options.stop_count = 3;
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), KINGLET_NULL_POINTER);
    options.stop_count = 0;
    options.grammar = home_intent_blob;
    options.grammar_bytes = HOME_INTENT_BLOB_BYTES;
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), -1);
    options.grammar_bytes = 0;
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), -1);
    options.grammar = NULL;
    count = 9;
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), -1);
    count = 1;
    REFUSED(kinglet_generate(engine, text, 8, &count, &options, &sampling, NULL, NULL, &stop), -1);
}

static void snapshots(kinglet_engine *engine) {
    static uint8_t flash[1u << 16];
    size_t bytes;
    REFUSED(kinglet_snapshot(engine, NULL, 64, &bytes), KINGLET_NULL_POINTER);
    REFUSED(kinglet_snapshot(engine, flash, sizeof flash, NULL), KINGLET_NULL_POINTER);
    REFUSED(kinglet_snapshot(engine, flash, 8, &bytes), -1);
    OK(kinglet_snapshot(engine, flash, sizeof flash, &bytes));
    OK(kinglet_restore(engine, flash, bytes));
    REFUSED(kinglet_restore(engine, NULL, bytes), KINGLET_NULL_POINTER);
    for (size_t cut = 0; cut < bytes; cut += bytes / 32 + 1) REFUSED(kinglet_restore(engine, flash, cut), -1);
    flash[bytes / 2] ^= 1;
    REFUSED(kinglet_restore(engine, flash, bytes), -1);
}

int main(void) {
    opening();
    without_an_engine(NULL, KINGLET_NULL_POINTER);
    without_an_engine((kinglet_engine *)(void *)(memory + 1), KINGLET_MISALIGNED_POINTER);
    kinglet_engine *engine = open_engine();
    reading(engine);
    tasks(engine);
    texts(engine);
    writing(engine);
    snapshots(engine);
    OK(kinglet_self_test(engine));
    OK(kinglet_close(engine));
    without_an_engine(engine, KINGLET_NO_ENGINE);
    printf("%u misuses returned errors, and %u calls succeeded\n", refused, succeeded);
    /* The loops above must not become empty. */
    return refused < 200;
}
