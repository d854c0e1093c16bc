#ifndef AIOT_HTTP_OPENSSL_H
#define AIOT_HTTP_OPENSSL_H

#include <openssl/ssl.h>

#include "aiot/ports.h"
#include "http_answer.h"
#include "identity.h"

typedef enum { AIOT_HTTP_IDLE, AIOT_HTTP_CONNECTING, AIOT_HTTP_SHAKING, AIOT_HTTP_SENDING, AIOT_HTTP_READING } aiot_http_state;

/* HTTPS GET with the device's certificate, by OpenSSL over a socket that never blocks. */
typedef struct {
  aiot_http port;
  SSL_CTX *context;
  char host[256];
  int port_number;
  aiot_http_state state;
  int socket;
  SSL *ssl;
  char request[1024];
  size_t sent;
  uint64_t from;
  aiot_http_answer answer;
} aiot_http_openssl;

/* False where the certificates cannot be read. */
bool aiot_http_openssl_open(aiot_http_openssl *http, const aiot_identity *identity);
void aiot_http_openssl_close(aiot_http_openssl *http);

#endif
