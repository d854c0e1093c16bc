/* Variables of a network, which keep their values between runs. */
#ifndef AIOT_VARIABLES_H
#define AIOT_VARIABLES_H

#include "network.h"

/* A variable. It exists as long as the network does. */
struct aiot_variable {
  aiot_vector name;
  int8_t *value;
  /* Size, bytes. */
  int32_t count;
  /* Initial values in the file; NULL = all elements are `zero`. */
  const uint8_t *initial;
  int8_t zero;
  /*
   * While the network is read: index of a tensor with its type, shape and scale (-1 = not used yet), and whether it is assigned.
   */
  int32_t operand;
  bool assigned;
  aiot_variable *next;
};

/*
 * Reads the name in a VAR_HANDLE's options. False if there is none, or if the handle's container differs from that of the other
 * handles.
 */
bool aiot_variable_name(aiot_network *network, aiot_table options, aiot_vector *name);

/* The variable with this name; NULL = no handle has this name. */
aiot_variable *aiot_variable_named(const aiot_network *network, aiot_vector name);

/*
 * Reads the subgraph that CALL_ONCE runs, and checks that every variable has a value. Must be called after all operators have
 * been read.
 */
aiot_code aiot_variables_read(aiot_network *network, aiot_vector graphs, aiot_vector buffers, aiot_vector codes);

/*
 * Allocates the state of an operator, which is its input `place`: an int8, int16 or float32 variable that no other operator uses. Its
 * initial values are real zeros. Returns NULL if the arena is too small.
 */
aiot_variable *aiot_variable_state(const aiot_operator *operator, uint32_t place);

/* Allocates memory that is zeroed at startup and by a reset, aligned for any number. NULL = the arena is too small. */
void *aiot_variable_memory(aiot_network *network, size_t bytes);

/*
 * Gives an output of the operator memory that persists between runs, because a run may leave the output unchanged, or change only a part of
 * it. False if the arena is too small.
 */
bool aiot_variable_output(const aiot_operator *operator, uint32_t place);

/* Sets all variables to their initial values. */
void aiot_variables_reset(const aiot_variable *variables);

#endif
