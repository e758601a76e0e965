/* Output on a computer with a standard library. */
#include <stdio.h>

#include "port.h"

void port_print(const char *text, size_t bytes) { fwrite(text, 1, bytes, stdout); }
