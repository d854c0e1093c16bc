#include "emitted.h"

#define MODEL_LAYER_DONE(index, name) emitted_layer_done(index, name)
#define model_run motor_run
#include "fixtures/emitted/motor/model.c"
