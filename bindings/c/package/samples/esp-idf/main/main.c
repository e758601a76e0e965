/* The sample for Zephyr, which needs nothing of Zephyr. */
#define main intents
#include "../../zephyr/src/main.c"
#undef main

void app_main(void) { intents(); }
