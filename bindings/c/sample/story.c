/* Generates a story and prints it. */
#include "kinglet.h"

#include "port/port.h"
#include "stories.h"

#define MAX_TOKENS 128u
#define NEW_TOKENS 64u

KINGLET_ALIGNED static uint8_t memory[KINGLET_ENGINE_BYTES + STORIES_ARENA_BYTES];
static uint32_t scratch[2048];

static void print(void *context, const char *text, size_t bytes) {
    (void)context;
    port_print(text, bytes);
}

/* Continues a story greedily, and adds the logits of every token to the fingerprint. */
static kinglet_status tell(kinglet_engine *engine, uint32_t *fingerprint) {
    static const char beginning[] = "Once there was a brave little fox who lived near the river.";
    uint32_t ids[MAX_TOKENS];
    kinglet_tokens tokens = {ids, NULL, NULL, NULL, MAX_TOKENS, 0};
    kinglet_status status = kinglet_tokenize(engine, beginning, sizeof beginning - 1, NULL, 0, scratch,
                                             sizeof scratch / sizeof *scratch, &tokens);
    if (status != KINGLET_OK) return status;

    size_t count = tokens.count;
    status = kinglet_prefill(engine, ids, count);
    for (size_t written = 0; written < NEW_TOKENS && status == KINGLET_OK; written++) {
        const int32_t *logits;
        size_t outputs;
        status = kinglet_logits(engine, &logits, &outputs);
        if (status != KINGLET_OK) break;
        *fingerprint = port_fingerprint(*fingerprint, logits, outputs);
        uint32_t token = kinglet_argmax(logits, outputs);
        if (token == 2) break;
        ids[count++] = token;
        status = kinglet_step(engine, token);
    }
    if (status != KINGLET_OK) return status;
    status = kinglet_decode(engine, ids, count, true, print, NULL);
    port_print("\n", 1);
    return status;
}

int main(void) {
    kinglet_engine *engine;
    kinglet_status status = kinglet_open(stories_blob, STORIES_BLOB_BYTES, memory, sizeof memory, MAX_TOKENS, &engine);
    uint32_t fingerprint = PORT_FINGERPRINT;
    if (status == KINGLET_OK) status = tell(engine, &fingerprint);
    return port_end(engine, status, fingerprint);
}
