/* The settings of a project whose model listens, on a board with external RAM. Compiling is the test. */
#undef AIOT_MEMORY_BYTES
#undef AIOT_SOURCE
#define AIOT_SOURCE 7
#define CONFIG_SPIRAM 1
#include "settings.h"

_Static_assert(AIOT_SOURCE == AIOT_SOURCE_SOUND, "the source is a microphone");
_Static_assert(AIOT_MEMORY_BYTES == 512u * 1024u, "models of speech get a block of external RAM");
_Static_assert(AIOT_CHIP_MEMORY_BYTES < 64u * 1024u, "without external RAM, the block has the size for the chip");
