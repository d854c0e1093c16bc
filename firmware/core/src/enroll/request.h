/* The device's key, and its request for a certificate. */
#ifndef AIOT_ENROLL_REQUEST_H
#define AIOT_ENROLL_REQUEST_H

#include "aiot/enroll.h"

/* SPKI of a P-256 key in DER. */
#define AIOT_P256_SPKI_BYTES 91
/* Largest request in PEM, with its NUL. */
#define AIOT_REQUEST_PEM_BYTES 576

/* Creates a key, and writes it as PKCS#8 in PEM. */
bool aiot_request_key(const aiot_key_maker *keys, char pem[AIOT_ENROLL_KEY_BYTES]);

/* Reads the public key of a key that aiot_request_key has written. False for any other text. */
bool aiot_request_spki(const char *key, uint8_t spki[AIOT_P256_SPKI_BYTES]);

/* Writes a PKCS#10 request (RFC 2986) with this common name, in PEM, and returns its length; 0 on failure. */
size_t aiot_request_pem(const aiot_key_maker *keys, const aiot_crypto *crypto, const char *key, const char *name, char out[AIOT_REQUEST_PEM_BYTES]);

#endif
