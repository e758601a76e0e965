/* What the samples need of a machine: a line to print to. */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>
#include <stdint.h>

#include "kinglet.h"

/* A fingerprint of nothing: FNV-1a over 32-bit numbers. */
#define PORT_FINGERPRINT 0x811c9dc5u

/* Prints bytes. Each machine has its own. */
void port_print(const char *text, size_t bytes);

size_t port_length(const char *text);
uint32_t port_fingerprint(uint32_t fingerprint, const int32_t *values, size_t count);

/* Prints the fingerprint, or the error; returns what main returns. */
int port_end(kinglet_engine *engine, kinglet_status status, uint32_t fingerprint);

#endif
