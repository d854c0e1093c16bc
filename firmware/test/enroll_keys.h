/* Keys of devices for tests of enrollment, by OpenSSL. */
#ifndef AIOT_TEST_ENROLL_KEYS_H
#define AIOT_TEST_ENROLL_KEYS_H

#include "aiot/enroll.h"

extern const aiot_key_maker enroll_keys;

#endif
