#ifndef AIOT_DECLARED_TFLITE_SCHEMA_H
#define AIOT_DECLARED_TFLITE_SCHEMA_H

namespace tflite {
struct Model;
const Model *GetModel(const void *data);
}  // namespace tflite

#endif
