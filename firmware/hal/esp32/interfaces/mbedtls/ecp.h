#ifndef AIOT_DECLARED_MBEDTLS_ECP_H
#define AIOT_DECLARED_MBEDTLS_ECP_H

#include <stddef.h>

typedef struct {
  void *limbs;
  size_t count;
} mbedtls_mpi;
typedef struct {
  mbedtls_mpi x, y, z;
} mbedtls_ecp_point;
typedef struct {
  mbedtls_ecp_point base;
} mbedtls_ecp_group;
typedef enum { MBEDTLS_ECP_DP_SECP256R1 = 3 } mbedtls_ecp_group_id;
#define MBEDTLS_ECP_PF_UNCOMPRESSED 0

void mbedtls_mpi_init(mbedtls_mpi *number);
void mbedtls_mpi_free(mbedtls_mpi *number);
int mbedtls_mpi_write_binary(const mbedtls_mpi *number, unsigned char *out, size_t bytes);
void mbedtls_ecp_point_init(mbedtls_ecp_point *point);
void mbedtls_ecp_point_free(mbedtls_ecp_point *point);
void mbedtls_ecp_group_init(mbedtls_ecp_group *group);
void mbedtls_ecp_group_free(mbedtls_ecp_group *group);
int mbedtls_ecp_group_load(mbedtls_ecp_group *group, mbedtls_ecp_group_id id);
int mbedtls_ecp_gen_keypair(mbedtls_ecp_group *group, mbedtls_mpi *number, mbedtls_ecp_point *point, int (*random)(void *context, unsigned char *out, size_t bytes), void *random_context);
int mbedtls_ecp_point_write_binary(const mbedtls_ecp_group *group, const mbedtls_ecp_point *point, int format, size_t *bytes, unsigned char *out, size_t room);

#endif
