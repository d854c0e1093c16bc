/* Reads the network of a .tflite file (the schema's tables), and prepares each operator. */
#ifndef AIOT_NETWORK_READ_H
#define AIOT_NETWORK_READ_H

#include "network.h"

/*
 * Tensors are allocated from the back of the arena, whose `bytes` shrink accordingly. Errors: AIOT_BUNDLE_MALFORMED,
 * AIOT_MODEL_UNSUPPORTED, AIOT_MEMORY_SHORT. If file.broken is set, the file is inconsistent, regardless of the returned code.
 */
aiot_code aiot_network_read(aiot_network *network, int32_t *input, int32_t *output);

#endif
