/* The interface of the samples to a machine, and their common code. */
#ifndef PORT_H
#define PORT_H

#include <stddef.h>
#include <stdint.h>

#include "kinglet.h"

/* The initial fingerprint. A fingerprint is an FNV-1a hash of 32-bit numbers. */
#define PORT_FINGERPRINT 0x811c9dc5u

/* Prints bytes. Each machine implements this function. */
void port_print(const char *text, size_t bytes);

size_t port_length(const char *text);
uint32_t port_fingerprint(uint32_t fingerprint, const int32_t *values, size_t count);

/* Prints the fingerprint, or the error of `status`; returns the exit code of main. */
int port_end(kinglet_engine *engine, kinglet_status status, uint32_t fingerprint);

#endif
