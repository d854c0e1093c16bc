# Tests networks in the core's interpreter and as emitted C.
add_executable(interpreter_test test/interpreter_test.c)
target_link_libraries(interpreter_test PRIVATE aiot_core)
add_test(NAME interpreter COMMAND interpreter_test)

add_executable(forest_test test/forest_test.c)
target_link_libraries(forest_test PRIVATE aiot_core)
add_test(NAME forest COMMAND forest_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles)

# Compiled as in a user's project, without the core's stricter warnings.
add_library(aiot_emitted STATIC test/emitted_motor.c test/emitted_waves.c)
target_compile_options(aiot_emitted PRIVATE -Wall -Wextra -Werror)
add_executable(emitted_test test/emitted_test.c)
target_link_libraries(emitted_test PRIVATE aiot_emitted aiot_options)
add_test(NAME emitted COMMAND emitted_test)
