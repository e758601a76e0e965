/* Startup code, serial output and power-off for QEMU's 32-bit RISC-V machine `virt`. */
#include "port.h"

int main(void);

#define UART ((volatile uint8_t *)0x10000000)
#define SWITCH ((volatile uint32_t *)0x00100000)

void port_print(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) *UART = (uint8_t)text[i];
}

void run(void) {
    int status = main();
    *SWITCH = status == 0 ? 0x5555u : (uint32_t)status << 16 | 0x3333u;
    for (;;) {}
}

__attribute__((naked, section(".start"))) void start(void) {
    __asm__ volatile("la sp, stack_top\n j run");
}
