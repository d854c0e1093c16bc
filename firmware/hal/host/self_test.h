#ifndef AIOT_SELF_TEST_H
#define AIOT_SELF_TEST_H

#include "aiot/store.h"

/*
 * What a program looks at before it asks to be kept: that it computes a known digest right, and that the slot it runs from holds the bytes that were
 * signed. `slot` -1 = it came with the launcher, and has none.
 */
bool aiot_self_test(aiot_store *store, int slot, aiot_error *error);

#endif
