/* The sample for Zephyr, which does not depend on Zephyr, as an ESP-IDF program. */
#define main intents
#include "../../zephyr/src/main.c"
#undef main

void app_main(void) { intents(); }
