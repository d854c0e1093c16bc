# Drivers of sensors on I2C, 1-Wire and converters, over tables of functions.
target_sources(aiot_core PRIVATE
  core/src/sensors/analogue.c core/src/sensors/ds18b20.c core/src/sensors/imu.c core/src/sensors/lsm6ds3trc.c core/src/sensors/mpu6050.c
  core/src/sensors/registers.c)

add_executable(sensors_test test/sensors_test.c test/sim_imu.c)
target_link_libraries(sensors_test PRIVATE aiot_core)
add_test(NAME sensors COMMAND sensors_test)
