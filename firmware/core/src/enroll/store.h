/* Storing an identity in settings. */
#ifndef AIOT_ENROLL_STORE_H
#define AIOT_ENROLL_STORE_H

#include "answer.h"

typedef enum { AIOT_STORED, AIOT_STORE_FAILED, AIOT_STORE_INVALID } aiot_store_result;

/*
 * Stores an identity whose strings fit; its name is stored last. The root in the response is overwritten, because its signatures are checked
 * there. `trust` and `scratch` (AIOT_ENROLL_PEM_BYTES): working memory.
 */
aiot_store_result aiot_enroll_store(const aiot_enroll_setup *setup, const aiot_enroll_answer *answer, aiot_trust *trust, char *scratch);

#endif
