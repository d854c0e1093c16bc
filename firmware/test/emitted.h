/* Two emitted networks in one program, each with its own prefix. */
#ifndef AIOT_TEST_EMITTED_H
#define AIOT_TEST_EMITTED_H

#include <stdint.h>

void motor_run(const int8_t *input, int8_t *output);
void waves_run(const int8_t *input, int8_t *output);

/* Called after each layer. */
void emitted_layer_done(int index, const char *name);

#endif
