#include "port.h"

size_t port_length(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return length;
}

uint32_t port_fingerprint(uint32_t fingerprint, const int32_t *values, size_t count) {
    for (size_t i = 0; i < count; i++) fingerprint = (fingerprint ^ (uint32_t)values[i]) * 0x01000193u;
    return fingerprint;
}

int port_end(kinglet_engine *engine, kinglet_status status, uint32_t fingerprint) {
    if (status != KINGLET_OK) {
        char text[160];
        size_t bytes = kinglet_error_text(engine, text, sizeof text);
        port_print(text, bytes < sizeof text ? bytes : sizeof text - 1);
        port_print("\n", 1);
        return 1;
    }
    char line[] = "logits 00000000\n";
    for (int digit = 0; digit < 8; digit++) line[7 + digit] = "0123456789abcdef"[fingerprint >> (28 - 4 * digit) & 15];
    port_print(line, sizeof line - 1);
    return 0;
}
