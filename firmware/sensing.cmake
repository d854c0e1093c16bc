# Sensor values and actuators: the guide's spectrum, sensors and rule.
target_sources(aiot_core PRIVATE core/src/signal/guide_spectrum.c core/src/sensing/rule.c core/src/sensing/sensing.c)

add_executable(spectrum_test test/spectrum_test.c)
target_link_libraries(spectrum_test PRIVATE aiot_core)
add_test(NAME spectrum COMMAND spectrum_test)

add_executable(sensing_test test/sensing_test.c)
target_link_libraries(sensing_test PRIVATE aiot_core)
add_test(NAME sensing COMMAND sensing_test)
