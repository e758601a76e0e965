/* Startup code and semihosting output for QEMU's Cortex-M machines. */
#include "port.h"

extern uint32_t stack_top[], data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);

/* A semihosting call: a request to the debugger, which QEMU answers. */
static int semihosting(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void port_print(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) semihosting(0x03, &text[i]);
}

static void end(int status) {
    const uint32_t block[2] = {0x20026, (uint32_t)status};
    semihosting(0x20, block);
    for (;;) {}
}

void reset(void) {
#if defined(__ARM_FP)
    /* Enables the floating-point unit. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    for (uint32_t *to = data_start, *from = data_load; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    end(main());
}

static void fault(void) { end(70); }

__attribute__((section(".vectors"), used)) static const struct {
    const void *stack;
    void (*handlers[15])(void);
} vectors = {stack_top, {reset, fault, fault, fault, fault, fault}};
