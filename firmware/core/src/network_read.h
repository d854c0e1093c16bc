/* Reads the network of a .tflite file (the schema's tables), and has each operator prepared. */
#ifndef AIOT_NETWORK_READ_H
#define AIOT_NETWORK_READ_H

#include "network.h"

/*
 * Tensors come out of the back of the arena: its `bytes` shrink by what they take. AIOT_BUNDLE_MALFORMED, AIOT_MODEL_UNSUPPORTED,
 * AIOT_MEMORY_SHORT; where file.broken is set, the file contradicts itself whatever is returned.
 */
aiot_code aiot_network_read(aiot_network *network, int32_t *input, int32_t *output);

#endif
