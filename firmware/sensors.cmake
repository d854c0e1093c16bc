# Drivers of sensors on I2C, 1-Wire and converters, over tables of functions.
target_sources(aiot_core PRIVATE
  core/src/sensors/analogue.c core/src/sensors/ds18b20.c core/src/sensors/imu.c core/src/sensors/lsm6ds3trc.c core/src/sensors/mpu6050.c
  core/src/sensors/registers.c core/src/sensors/sound.c)

add_executable(sensors_test test/sensors_test.c test/sim_imu.c)
target_link_libraries(sensors_test PRIVATE aiot_core)
add_test(NAME sensors COMMAND sensors_test)

# A microphone's samples from a WAV file to the messages with predictions.
find_package(Threads REQUIRED)
add_executable(sound_test test/sound_test.c hal/host/wav.c)
target_include_directories(sound_test PRIVATE hal/host)
target_link_libraries(sound_test PRIVATE aiot_core Threads::Threads)
add_test(NAME sound COMMAND sound_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures ${CMAKE_CURRENT_BINARY_DIR}/sound_scratch.wav)
