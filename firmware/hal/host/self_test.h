#ifndef AIOT_SELF_TEST_H
#define AIOT_SELF_TEST_H

#include "aiot/store.h"

/*
 * Self-test of a program before it is confirmed. It must compute a known digest correctly, and its slot must contain the signed
 * bytes. `slot` -1 = the bundled program, which has no slot.
 */
bool aiot_self_test(aiot_store *store, int slot, aiot_error *error);

#endif
