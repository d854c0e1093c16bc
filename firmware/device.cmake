# The device of protocol v1, and the native virtual device, which is a program for this machine.
target_sources(aiot_core PRIVATE
  core/src/device/config.c core/src/device/config_read.c core/src/device/crash.c
  core/src/device/device.c core/src/device/inbox.c core/src/device/look.c core/src/device/members.c
  core/src/device/model.c core/src/device/outbox.c core/src/device/prove.c core/src/device/report.c core/src/device/settings.c core/src/device/tail.c core/src/device/take.c)

set(AIOT_FIRMWARE_VERSION "0.0.0" CACHE STRING "What the native device says that it runs")
find_package(OpenSSL 3)
find_package(PkgConfig)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(MOSQUITTO IMPORTED_TARGET libmosquitto)
endif()

# Adds one native device. Its compile definitions follow its name.
function(aiot_native_device name)
  add_executable(${name}
    hal/host/main.c hal/host/launcher.c hal/host/program.c hal/host/self_test.c hal/host/crash.c hal/host/vitals.c hal/host/settings_file.c hal/host/feed.c hal/host/lines.c
    hal/host/clock.c hal/host/guide.c hal/host/guide_settings.c hal/host/identity.c hal/host/flash_file.c hal/host/mqtt_mosquitto.c hal/host/http_openssl.c hal/host/http_answer.c)
  target_compile_definitions(${name} PRIVATE ${ARGN})
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/generated/aiot_config.h)
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/generated)
  endif()
  target_link_libraries(${name} PRIVATE aiot_crypto_openssl aiot_hal_host OpenSSL::SSL PkgConfig::MOSQUITTO)
  # Symbols are stripped, because updates contain this file.
  target_link_options(${name} PRIVATE $<$<NOT:$<BOOL:${AIOT_SANITIZE}>>:-s>)
endfunction()

if(OPENSSL_FOUND AND MOSQUITTO_FOUND)
  aiot_native_device(aiot-device AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}")
  # Programs for update tests: another version, and versions that must be rolled back.
  aiot_native_device(aiot-device-next AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}-next")
  aiot_native_device(aiot-device-exits AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}-exits" AIOT_FAULT_EXIT)
  aiot_native_device(aiot-device-unfit AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}-unfit" AIOT_FAULT_SELF_TEST)
  aiot_native_device(aiot-device-deaf AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}-deaf" AIOT_FAULT_DEAF)
  set_target_properties(aiot-device-next aiot-device-exits aiot-device-unfit aiot-device-deaf PROPERTIES EXCLUDE_FROM_ALL ON)
  # A program with settings of its own, for tests. Its own_settings.h and own_commands.h are in test/pump.
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/test/pump)
    aiot_native_device(aiot-device-pump AIOT_FIRMWARE_VERSION="${AIOT_FIRMWARE_VERSION}")
    target_include_directories(aiot-device-pump BEFORE PRIVATE test/pump)
    set_target_properties(aiot-device-pump PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
else()
  message(STATUS "aiot-device is not built: it takes OpenSSL 3 and libmosquitto (libssl-dev, libmosquitto-dev, pkg-config)")
endif()

add_executable(device_test test/device_test.c)
target_link_libraries(device_test PRIVATE aiot_core)
add_test(NAME device COMMAND device_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles/picture.aiot)

# Tests settings of a program's own, and the file that stores them.
if(TARGET aiot_crypto_openssl)
  add_executable(settings_test test/settings_test.c hal/host/settings_file.c)
  target_include_directories(settings_test BEFORE PRIVATE test/pump hal/host)
  target_link_libraries(settings_test PRIVATE aiot_crypto_openssl)
  add_test(NAME settings COMMAND settings_test ${CMAKE_CURRENT_BINARY_DIR}/settings_scratch)
endif()

# Tests the parser of the platform's HTTP responses.
add_executable(http_answer_test test/http_answer_test.c hal/host/http_answer.c)
target_include_directories(http_answer_test PRIVATE core/include hal/host)
target_link_libraries(http_answer_test PRIVATE aiot_options)
add_test(NAME http_answer COMMAND http_answer_test)

# Tests the crashes of programs on this machine. It is built without the sanitizers, which handle fatal signals themselves.
find_package(Threads)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND Threads_FOUND)
  add_executable(host_crash_test test/host_crash_test.c hal/host/crash.c core/src/device/tail.c core/src/crc32.c)
  target_include_directories(host_crash_test PRIVATE core/include hal/host)
  target_compile_options(host_crash_test PRIVATE -Wall -Wextra -Werror -Wconversion -Wshadow -Wstrict-prototypes)
  target_link_libraries(host_crash_test PRIVATE Threads::Threads)
  add_test(NAME host_crash COMMAND host_crash_test)
endif()

# Tests the readings of a computer's battery, disk and Wi-Fi.
add_executable(host_vitals_test test/host_vitals_test.c hal/host/vitals.c)
target_include_directories(host_vitals_test PRIVATE core/include hal/host)
target_link_libraries(host_vitals_test PRIVATE aiot_options)
add_test(NAME host_vitals COMMAND host_vitals_test)
