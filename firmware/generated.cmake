# Checks that this core supports the files generated from the project's aiot.yaml: fields, features, labels.
add_executable(generated_test test/generated_test.c)
target_include_directories(generated_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/generated)
target_link_libraries(generated_test PRIVATE aiot_core)
add_test(NAME generated COMMAND generated_test)
