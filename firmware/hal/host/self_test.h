#ifndef AIOT_SELF_TEST_H
#define AIOT_SELF_TEST_H

#include "aiot/store.h"

/*
 * Self-test of a program before it is confirmed: it computes a known digest correctly, and its slot contains the signed bytes. `slot` -1 =
 * it is the bundled one, and has no slot.
 */
bool aiot_self_test(aiot_store *store, int slot, aiot_error *error);

#endif
