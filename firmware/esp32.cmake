# Only the vendor's toolchains can build the ESP32's sources. Here, they are compiled against our own declarations of
# the vendor's functions (hal/esp32/interfaces), and the parts that do not depend on a board are tested.
set(esp32_folder ${CMAKE_CURRENT_SOURCE_DIR}/hal/esp32)
file(GLOB esp32_sources CONFIGURE_DEPENDS ${esp32_folder}/main/*.c)

# aiot_defaults(CHIP REGEX OUT): the lines of sdkconfig.defaults that match, followed by those of the chip's own file,
# which take precedence.
function(aiot_defaults chip regex out)
  string(TOLOWER ${chip} target)
  set(all "")
  foreach(file ${esp32_folder}/sdkconfig.defaults ${esp32_folder}/sdkconfig.defaults.${target})
    if(EXISTS ${file})
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
      file(STRINGS ${file} lines REGEX "${regex}")
      list(APPEND all ${lines})
    endif()
  endforeach()
  set(${out} "${all}" PARENT_SCOPE)
endfunction()

# aiot_sdkconfig(CHIP OUT): a folder with an `sdkconfig.h` like ESP-IDF's, which contains the chip and the options of
# sdkconfig.defaults. As with ESP-IDF, only files that include it get CONFIG_*.
function(aiot_sdkconfig chip out)
  string(TOLOWER ${chip} target)
  set(text "#pragma once\n#define CONFIG_IDF_TARGET \"${target}\"\n#define CONFIG_IDF_TARGET_${chip} 1\n")
  if(chip MATCHES "^ESP32(S2|S3)?$")
    string(APPEND text "#define CONFIG_IDF_TARGET_ARCH_XTENSA 1\n")
  else()
    string(APPEND text "#define CONFIG_IDF_TARGET_ARCH_RISCV 1\n")
  endif()
  aiot_defaults(${chip} "^CONFIG_" lines)
  foreach(line ${lines})
    string(REGEX MATCH "^(CONFIG_[A-Z0-9_]+)=(.*)$" ignored "${line}")
    set(name ${CMAKE_MATCH_1})
    set(value "${CMAKE_MATCH_2}")
    if(value STREQUAL "y")
      set(value 1)
    endif()
    if(NOT value STREQUAL "n")
      string(APPEND text "#undef ${name}\n#define ${name} ${value}\n")
    endif()
  endforeach()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/sdkconfig/${target})
  file(WRITE ${folder}/sdkconfig.h.new "${text}")
  configure_file(${folder}/sdkconfig.h.new ${folder}/sdkconfig.h COPYONLY)
  set(${out} ${folder} PARENT_SCOPE)
endfunction()

if(esp32_sources)
  set(esp32_flags -std=gnu17 -fsyntax-only -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes
    -I ${esp32_folder}/interfaces -I ${CMAKE_CURRENT_SOURCE_DIR}/core/include)
  foreach(target ESP32 ESP32S3 ESP32C3 ESP32C6 ESP32H2 ESP32P4)
    aiot_sdkconfig(${target} sdkconfig_${target})
    add_test(NAME esp32_${target} COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_${target}} ${esp32_sources})
    # Compares settings.h with the pins in docs/reference/hardware.md, and runs the chip's ADC driver with them.
    add_executable(esp32_pins_${target} test/esp32_pins_test.c)
    target_include_directories(esp32_pins_${target} PRIVATE ${esp32_folder}/main ${sdkconfig_${target}})
    target_link_libraries(esp32_pins_${target} PRIVATE aiot_options)
    add_test(NAME esp32_pins_${target} COMMAND esp32_pins_${target})
  endforeach()
  add_executable(esp32_pins_rmii test/esp32_pins_test.c)
  target_include_directories(esp32_pins_rmii PRIVATE ${esp32_folder}/main ${sdkconfig_ESP32})
  target_compile_definitions(esp32_pins_rmii PRIVATE AIOT_NETWORK=2)
  target_link_libraries(esp32_pins_rmii PRIVATE aiot_options)
  add_test(NAME esp32_pins_rmii COMMAND esp32_pins_rmii)
  # Default pins that overlap are rejected, unless the project moves one of the two.
  set(esp32_overlap ${CMAKE_C_COMPILER} ${esp32_flags} -I ${sdkconfig_ESP32C3} -DAIOT_NETWORK=3 -DAIOT_SOURCE=6)
  add_test(NAME esp32_pins_overlap COMMAND ${esp32_overlap} ${esp32_folder}/main/source_digital.c)
  set_tests_properties(esp32_pins_overlap PROPERTIES PASS_REGULAR_EXPRESSION "error: #error .pin conflict")
  add_test(NAME esp32_pins_moved COMMAND ${esp32_overlap} "-DAIOT_I2S_PINS=10, 3, 4" ${esp32_folder}/main/source_digital.c)
  # A build for a chip without pin assignments, or without a chip, must be rejected.
  aiot_sdkconfig(ESP32S2 sdkconfig_unknown)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/sdkconfig/none/sdkconfig.h "#pragma once\n")
  foreach(folder ${sdkconfig_unknown} ${CMAKE_CURRENT_BINARY_DIR}/sdkconfig/none)
    get_filename_component(name ${folder} NAME)
    foreach(file source_analogue adc)
      add_test(NAME esp32_chip_${name}_${file} COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -I ${folder} ${esp32_folder}/main/${file}.c)
      set_tests_properties(esp32_chip_${name}_${file} PROPERTIES PASS_REGULAR_EXPRESSION "error: #error .unknown chip")
    endforeach()
  endforeach()
  # The guide's sensors are the default. Each of the other sources is also compiled.
  foreach(source 2 3 4 5 6 7)
    add_test(NAME esp32_source_${source}
      COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_ESP32} -DAIOT_SOURCE=${source} -DAIOT_SLEEP_MS=60000 ${esp32_sources})
  endforeach()
  add_test(NAME esp32_no_enroll COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_ESP32} -DAIOT_ENROLL=0 ${esp32_sources})
  # A camera, which only two chips support, in gray and in color.
  foreach(channels 1 3)
    foreach(target ESP32 ESP32S3)
      add_test(NAME esp32_camera_${target}_${channels} COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_${target}} -DAIOT_SOURCE=8
        -DAIOT_CAMERA_CHANNELS=${channels} ${esp32_sources})
    endforeach()
  endforeach()
  set(esp32_camera ${CMAKE_C_COMPILER} ${esp32_flags} -DAIOT_SOURCE=8 ${esp32_folder}/main/source_camera.c)
  add_test(NAME esp32_camera_absent COMMAND ${esp32_camera} -I ${sdkconfig_ESP32C3})
  set_tests_properties(esp32_camera_absent PROPERTIES PASS_REGULAR_EXPRESSION "error: #error .no camera")
  add_test(NAME esp32_camera_overlap COMMAND ${esp32_camera} -I ${sdkconfig_ESP32} -DAIOT_NETWORK=3)
  set_tests_properties(esp32_camera_overlap PROPERTIES PASS_REGULAR_EXPRESSION "error: #error .pin conflict")
  # The driver on a simulated camera, whose pictures are files.
  foreach(setup "gray ESP32" "color ESP32 -DAIOT_CAMERA_CHANNELS=3 -DAIOT_CAMERA_FIT=AIOT_FIT_PAD" "large ESP32S3 -DAIOT_CAMERA_WIDTH=200 -DAIOT_CAMERA_HEIGHT=160")
    separate_arguments(parts UNIX_COMMAND "${setup}")
    list(POP_FRONT parts kind target)
    add_executable(esp32_camera_${kind} test/esp32_camera_test.c hal/esp32/main/source_camera.c hal/host/frames.c)
    target_include_directories(esp32_camera_${kind} PRIVATE ${esp32_folder}/main ${esp32_folder}/interfaces hal/host ${sdkconfig_${target}})
    target_compile_options(esp32_camera_${kind} PRIVATE -DAIOT_SOURCE=8 ${parts})
    target_link_libraries(esp32_camera_${kind} PRIVATE aiot_core)
    add_test(NAME esp32_camera_${kind} COMMAND esp32_camera_${kind} ${CMAKE_CURRENT_BINARY_DIR}/camera_${kind}.pnm)
  endforeach()
  # Ethernet: the chip's own, also with the functions of earlier versions of ESP-IDF, and a W5500.
  foreach(version 5,3,0 5,5,0)
    string(REPLACE "," "_" name ${version})
    foreach(target ESP32 ESP32P4)
      add_test(NAME esp32_ethernet_${target}_${name} COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_${target}} -DAIOT_NETWORK=2
        -DAIOT_PHY_POWER_PIN=16 "-DESP_IDF_VERSION=ESP_IDF_VERSION_VAL(${version})" ${esp32_sources})
    endforeach()
  endforeach()
  foreach(target ESP32 ESP32S3 ESP32C3 ESP32C6 ESP32P4)
    add_test(NAME esp32_w5500_${target} COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_${target}} -DAIOT_NETWORK=3 ${esp32_sources})
  endforeach()
  # Compiles a board that uses the guide's protocol, in either role.
  foreach(role READS JUDGES)
    add_test(NAME esp32_guide_${role}
      COMMAND ${CMAKE_C_COMPILER} ${esp32_flags} -Wconversion -I ${sdkconfig_ESP32} -DAIOT_COMPAT_GUIDE=1 "-DAIOT_GUIDE_HOST=\"guide.local\""
        -DAIOT_GUIDE_ROLE=AIOT_GUIDE_${role} ${esp32_sources})
  endforeach()
  # Arduino and TensorFlow Lite Micro are entered from C++.
  find_program(AIOT_CXX c++)
  file(GLOB esp32_cpp CONFIGURE_DEPENDS ${esp32_folder}/main/*.cpp)
  if(AIOT_CXX)
    add_test(NAME esp32_cpp COMMAND ${AIOT_CXX} -std=gnu++17 -fsyntax-only -DARDUINO -Wall -Wextra -Werror -Wconversion -Wshadow
      -I ${esp32_folder}/interfaces -I ${CMAKE_CURRENT_SOURCE_DIR}/core/include ${esp32_cpp})
  endif()
  # Checks 32-bit sizes, if a compiler for them is installed.
  if(IS_ABSOLUTE "${picolibc}")
    add_test(NAME esp32_rv32 COMMAND ${AIOT_RV32_CC} -march=rv32imc -mabi=ilp32 --specs=picolibc.specs ${esp32_flags}
      -I ${sdkconfig_ESP32C3} ${esp32_sources})
  endif()
  add_test(NAME esp32_interfaces COMMAND ${CMAKE_COMMAND} "-DSOURCES=${esp32_sources};${esp32_cpp}" -DINTERFACES=${esp32_folder}/interfaces
    -P ${esp32_folder}/check.cmake)
  add_test(NAME esp32_interfaces_told COMMAND ${CMAKE_COMMAND} "-DSOURCES=${esp32_sources};${esp32_cpp}" -DINTERFACES=${esp32_folder}/interfaces
    -DWORK=${CMAKE_CURRENT_BINARY_DIR}/esp32_interfaces -DCHECK=${esp32_folder}/check.cmake -P ${esp32_folder}/check_self.cmake)

  add_test(NAME esp32_build COMMAND ${CMAKE_COMMAND} -DPROJECT=${esp32_folder} -DWORK=${CMAKE_CURRENT_BINARY_DIR}/esp32_build -P ${esp32_folder}/check_build.cmake)

  if(TARGET aiot_sim)
    add_executable(esp32_portable_test test/esp32_portable_test.c hal/esp32/main/portable.c)
    target_include_directories(esp32_portable_test PRIVATE ${esp32_folder}/main)
    target_link_libraries(esp32_portable_test PRIVATE aiot_sim)
    add_test(NAME esp32_portable COMMAND esp32_portable_test)
  endif()

  # Tests the reader of core dumps.
  add_executable(esp32_core_dump_test test/esp32_core_dump_test.c hal/esp32/main/core_dump.c)
  target_include_directories(esp32_core_dump_test PRIVATE core/include ${esp32_folder}/main)
  target_link_libraries(esp32_core_dump_test PRIVATE aiot_options)
  add_test(NAME esp32_core_dump COMMAND esp32_core_dump_test)

  # Tests the program's startup, network and clock on simulated components: on a chip, and with a project that expects external RAM on a board
  # without it; and with ESP-IDF 6.0, which has no option for the format of core dumps.
  file(READ ${sdkconfig_ESP32C3}/sdkconfig.h text)
  string(REGEX REPLACE "[^\n]*CONFIG_ESP_COREDUMP_DATA_FORMAT_ELF[^\n]*\n" "" text "${text}")
  set(sdkconfig_idf6 ${CMAKE_CURRENT_BINARY_DIR}/sdkconfig/idf6)
  file(WRITE ${sdkconfig_idf6}/sdkconfig.h "${text}")
  # The other programs are of an ESP32-C3 (RISC-V), and one is of an ESP32-S3 (Xtensa).
  foreach(program esp32_program esp32_program_small esp32_program_idf6 esp32_program_xtensa)
    set(sdkconfig ${sdkconfig_ESP32C3})
    if(program STREQUAL esp32_program_idf6)
      set(sdkconfig ${sdkconfig_idf6})
    elseif(program STREQUAL esp32_program_xtensa)
      set(sdkconfig ${sdkconfig_ESP32S3})
    endif()
    add_executable(${program}_test test/esp32_program_test.c hal/esp32/main/program.c hal/esp32/main/wifi.c hal/esp32/main/enterprise.c hal/esp32/main/clock.c hal/esp32/main/watch.c
      hal/esp32/main/dump.c hal/esp32/main/core_dump.c hal/esp32/main/portable.c hal/esp32/main/console.c core/src/improv.c core/src/networks.c
      core/src/device/tail.c core/src/crc32.c)
    set_target_properties(${program}_test PROPERTIES C_EXTENSIONS ON)
    target_compile_definitions(${program}_test PRIVATE CONFIG_BOOTLOADER_APP_ANTI_ROLLBACK=1 "AIOT_FIELD_NAMES={{\"other\",\"another\"},{\"x\",\"level\"}}")
    target_include_directories(${program}_test PRIVATE core/include ${esp32_folder}/main ${esp32_folder}/interfaces ${sdkconfig})
    target_link_libraries(${program}_test PRIVATE aiot_options)
    add_test(NAME ${program} COMMAND ${program}_test)
  endforeach()
  target_compile_definitions(esp32_program_idf6_test PRIVATE "ESP_IDF_VERSION=ESP_IDF_VERSION_VAL(6,0,2)")
  target_compile_definitions(esp32_program_small_test PRIVATE AIOT_MEMORY_BYTES=524288u malloc=small_malloc)
  target_sources(esp32_program_small_test PRIVATE test/esp32_sound_settings.c)

  # Tests Ethernet on a simulated vendor driver: the chip's own, and a W5500 with an interrupt and without.
  foreach(network "2 ESP32P4" "2 ESP32" "3 ESP32H2" "3 ESP32C3")
    separate_arguments(pair UNIX_COMMAND "${network}")
    list(GET pair 0 kind)
    list(GET pair 1 target)
    set(name esp32_ethernet_${target}_test)
    add_executable(${name} test/esp32_ethernet_test.c hal/esp32/main/ethernet.c hal/esp32/main/portable.c)
    set_target_properties(${name} PROPERTIES C_EXTENSIONS ON)
    target_include_directories(${name} PRIVATE core/include ${esp32_folder}/main ${esp32_folder}/interfaces ${sdkconfig_${target}})
    target_compile_definitions(${name} PRIVATE AIOT_NETWORK=${kind})
    if(target STREQUAL "ESP32")
      target_compile_definitions(${name} PRIVATE AIOT_PHY_POWER_PIN=16)
    endif()
    target_link_libraries(${name} PRIVATE aiot_options)
    add_test(NAME esp32_ethernet_${target} COMMAND ${name})
  endforeach()

  # Tests the store of settings on a simulated NVS.
  add_executable(esp32_settings_test test/esp32_settings_test.c hal/esp32/main/settings_store.c)
  target_include_directories(esp32_settings_test PRIVATE core/include ${esp32_folder}/main ${esp32_folder}/interfaces)
  target_link_libraries(esp32_settings_test PRIVATE aiot_options)
  add_test(NAME esp32_settings COMMAND esp32_settings_test)

  # Tests that the profile nvs-hmac only reads its key.
  add_executable(esp32_identity_test test/esp32_identity_test.c hal/esp32/main/identity.c)
  set_target_properties(esp32_identity_test PROPERTIES C_EXTENSIONS ON)
  file(STRINGS ${esp32_folder}/profiles/nvs-hmac.defaults esp32_hmac REGEX "^CONFIG_")
  list(TRANSFORM esp32_hmac REPLACE "=y$" "=1")
  target_compile_definitions(esp32_identity_test PRIVATE ${esp32_hmac})
  target_include_directories(esp32_identity_test PRIVATE ${esp32_folder}/main ${esp32_folder}/interfaces ${sdkconfig_ESP32C3})
  target_link_libraries(esp32_identity_test PRIVATE aiot_core)
  add_test(NAME esp32_identity COMMAND esp32_identity_test)

  # Tests MQTT on a simulated vendor client.
  add_executable(esp32_mqtt_test test/esp32_mqtt_test.c hal/esp32/main/mqtt.c hal/esp32/main/portable.c)
  set_target_properties(esp32_mqtt_test PROPERTIES C_EXTENSIONS ON)
  target_include_directories(esp32_mqtt_test PRIVATE core/include ${esp32_folder}/main ${esp32_folder}/interfaces)
  target_link_libraries(esp32_mqtt_test PRIVATE aiot_options)
  add_test(NAME esp32_mqtt COMMAND esp32_mqtt_test)

  # Tests enrollment on simulated NVS and a simulated HTTP client, with the random numbers of a radio and without one.
  if(TARGET aiot_sim)
    foreach(network 1 3)
      add_executable(esp32_enroll_${network}_test test/esp32_enroll_test.c hal/esp32/main/enroll.c)
      set_target_properties(esp32_enroll_${network}_test PROPERTIES C_EXTENSIONS ON)
      target_compile_definitions(esp32_enroll_${network}_test PRIVATE AIOT_NETWORK=${network})
      target_include_directories(esp32_enroll_${network}_test PRIVATE ${esp32_folder}/main ${esp32_folder}/interfaces ${sdkconfig_ESP32})
      target_link_libraries(esp32_enroll_${network}_test PRIVATE aiot_sim)
      add_test(NAME esp32_enroll_${network} COMMAND esp32_enroll_${network}_test)
    endforeach()
  endif()

  # Tests the ADC on a simulated driver, with the circuit in docs/reference/hardware.md.
  foreach(target ESP32 ESP32S3 ESP32C3)
    add_executable(esp32_adc_${target} test/esp32_adc_test.c hal/esp32/main/adc.c hal/esp32/main/source_analogue.c core/src/sensing/sensing.c
      core/src/sensors/analogue.c)
    target_include_directories(esp32_adc_${target} PRIVATE core/include ${esp32_folder}/main ${esp32_folder}/interfaces ${sdkconfig_${target}})
    target_link_libraries(esp32_adc_${target} PRIVATE aiot_options m)
    add_test(NAME esp32_adc_${target} COMMAND esp32_adc_${target})
  endforeach()

  # Measures the heap of each chip: static RAM by section, and every allocation of a program that uses MQTT and
  # downloads at the same time. The result is exact if a 32-bit compiler is installed. Otherwise, it is measured with
  # this machine's compiler, whose pointers are longer. A project's own aiot_config.h is used.
  set(esp32_own "")
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/generated/aiot_config.h)
    set(esp32_own -I ${CMAKE_CURRENT_SOURCE_DIR}/generated)
  endif()
  get_target_property(esp32_core aiot_core SOURCES)
  list(TRANSFORM esp32_core PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ REGEX "^[^/]")
  set(esp32_program "")
  foreach(part program settings_store console dump enroll mqtt http sampler watch flash identity trial wifi enterprise clock adc source_analogue servo portable)
    list(APPEND esp32_program ${esp32_folder}/main/${part}.c)
  endforeach()
  set(esp32_wrap -Wl,--wrap=malloc,--wrap=calloc,--wrap=free,--wrap=strdup,--wrap=aiot_esp32_http_open)
  if(AIOT_RV32_EMULATOR AND IS_ABSOLUTE "${picolibc}")
    find_program(AIOT_RV32_SIZE riscv64-unknown-elf-size)
    set(esp32_size_cc ${AIOT_RV32_CC} -march=rv32imc -mabi=ilp32)
    set(esp32_size ${AIOT_RV32_SIZE})
    set(esp32_specs --specs=picolibc.specs)
  else()
    find_program(AIOT_SIZE size)
    set(esp32_size_cc ${CMAKE_C_COMPILER})
    set(esp32_size ${AIOT_SIZE})
    set(esp32_specs "")
  endif()
  # Reads the partitions on which the heap and a core dump depend.
  set(esp32_table ${esp32_folder}/partitions.csv)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${esp32_table})
  set(esp32_partitions "")
  foreach(label nvs coredump)
    file(STRINGS ${esp32_table} row REGEX "^${label},")
    # In a table that aiot generated, each row ends with a comma.
    if(NOT row MATCHES "(0x[0-9a-f]+),?$")
      message(FATAL_ERROR "no size of ${label} in ${esp32_table}")
    endif()
    string(TOUPPER ${label} name)
    list(APPEND esp32_partitions -DAIOT_${name}_BYTES=${CMAKE_MATCH_1})
  endforeach()
  function(aiot_heap_test name target)
    set(flags -std=gnu17 -DCONFIG_IDF_TARGET_${target} ${ARGN} -I ${esp32_folder}/interfaces -I ${CMAKE_CURRENT_SOURCE_DIR}/core/include -I ${esp32_folder}/main ${esp32_own})
    # The chip's sdkconfig.h, if there is one.
    if(sdkconfig_${target})
      list(APPEND flags -I ${sdkconfig_${target}})
    endif()
    set(work ${CMAKE_CURRENT_BINARY_DIR}/heap_${name})
    add_custom_command(OUTPUT ${work}/static_ram.h
      COMMAND ${CMAKE_COMMAND} "-DCC=${esp32_size_cc}" -DSIZE=${esp32_size} "-DFLAGS=${esp32_specs};${flags}" "-DSOURCES=${esp32_sources};${esp32_core}"
        -DOUT=${work}/static_ram.h -DWORK=${work}/objects -P ${esp32_folder}/static_ram.cmake
      DEPENDS ${esp32_sources} ${esp32_core} ${esp32_folder}/static_ram.cmake ${esp32_folder}/main/settings.h VERBATIM)
    # The line in the chip's own file takes precedence.
    aiot_defaults(${target} "^CONFIG_(ESP_WIFI_STATIC_RX_BUFFER_NUM|LWIP_TCP_[A-Z_]*|MBEDTLS_SSL_[A-Z]*_CONTENT_LEN)=[0-9]+$" defaults)
    set(lines "")
    foreach(one ${defaults})
      string(REGEX REPLACE "=.*" "" key "${one}")
      list(FILTER lines EXCLUDE REGEX "^-DAIOT_${key}=")
      list(APPEND lines -DAIOT_${one})
    endforeach()
    set(program ${CMAKE_CURRENT_BINARY_DIR}/esp32_heap_${name})
    set(sources ${CMAKE_CURRENT_SOURCE_DIR}/test/esp32_heap_test.c ${esp32_program} ${esp32_core})
    # The test's own program has no RTC memory. The static RAM above is measured with it.
    set(common "-DRTC_NOINIT_ATTR=" -O1 -Wall -Wextra -Werror -ffunction-sections -Wl,--gc-sections ${flags} ${lines} ${esp32_partitions} ${esp32_wrap} -I ${work} -I ${CMAKE_CURRENT_SOURCE_DIR}/test ${sources} -lm -o ${program})
    if(esp32_specs)
      # Uses atomic instructions instead of the vendor's functions.
      add_custom_command(OUTPUT ${program} DEPENDS ${sources} ${work}/static_ram.h VERBATIM
        COMMAND ${AIOT_RV32_CC} -march=rv32imac -mabi=ilp32 --specs=picolibc.specs --oslib=semihost --crt0=semihost
          -Wl,--defsym=__flash=0x80000000 -Wl,--defsym=__flash_size=0x400000 -Wl,--defsym=__ram=0x80400000 -Wl,--defsym=__ram_size=0x400000 ${common})
      add_test(NAME esp32_heap_${name} COMMAND ${AIOT_RV32_EMULATOR} -machine virt -cpu rv32 -bios none -nographic
        -semihosting-config enable=on,target=native -kernel ${program})
    else()
      add_custom_command(OUTPUT ${program} DEPENDS ${sources} ${work}/static_ram.h VERBATIM COMMAND ${CMAKE_C_COMPILER} ${common})
      add_test(NAME esp32_heap_${name} COMMAND ${program})
    endif()
    add_custom_target(esp32_heap_${name}_built ALL DEPENDS ${program})
    set_tests_properties(esp32_heap_${name} PROPERTIES TIMEOUT 120 PASS_REGULAR_EXPRESSION "[0-9] checks passed, 0 failed")
  endfunction()
  foreach(target ESP32 ESP32S3 ESP32C3)
    aiot_heap_test(${target} ${target})
  endforeach()
  # Unless a project selects a sensor, tests the other sensors on the chip with the least memory.
  if(NOT esp32_own)
    # A program with settings of its own.
    aiot_heap_test(settings ESP32C3 -I ${CMAKE_CURRENT_SOURCE_DIR}/test/pump)
    aiot_heap_test(imu ESP32C3 -DAIOT_SOURCE=3 -DAIOT_IMU_RANGE_DPS=500)
    aiot_heap_test(thermometer ESP32 -DAIOT_SOURCE=4)
    aiot_heap_test(clamp ESP32 -DAIOT_SOURCE=5)
    aiot_heap_test(microphone ESP32 -DAIOT_SOURCE=6)
    aiot_heap_test(sound ESP32 -DAIOT_SOURCE=7)
    aiot_heap_test(imu_esp32 ESP32 -DAIOT_SOURCE=2 -DAIOT_IMU_RANGE_DPS=500)
  endif()

  # Compares the chip's cryptography, using the same library if it is installed here, with OpenSSL.
  find_path(MBEDTLS_INCLUDE mbedtls/pk.h)
  find_library(MBEDCRYPTO mbedcrypto)
  if(MBEDTLS_INCLUDE AND MBEDCRYPTO AND TARGET aiot_crypto_openssl)
    add_executable(esp32_crypto_test test/esp32_crypto_test.c hal/esp32/main/crypto_mbedtls.c core/src/enroll/request.c)
    # For the vendor's other functions. This folder comes last, because it also declares mbedTLS's names.
    target_include_directories(esp32_crypto_test BEFORE PRIVATE ${MBEDTLS_INCLUDE})
    target_include_directories(esp32_crypto_test PRIVATE ${esp32_folder}/main core/src/enroll)
    target_compile_options(esp32_crypto_test PRIVATE -idirafter ${esp32_folder}/interfaces)
    target_link_libraries(esp32_crypto_test PRIVATE aiot_crypto_openssl ${MBEDCRYPTO})
    add_test(NAME esp32_crypto COMMAND esp32_crypto_test)

    find_library(MBEDTLS mbedtls)
    find_library(MBEDX509 mbedx509)
    if(MBEDTLS AND MBEDX509)
      add_executable(esp32_tls_test test/esp32_tls_test.c hal/esp32/main/tls.c)
      target_include_directories(esp32_tls_test BEFORE PRIVATE ${MBEDTLS_INCLUDE})
      target_include_directories(esp32_tls_test PRIVATE core/include ${esp32_folder}/main)
      target_link_libraries(esp32_tls_test PRIVATE aiot_options ${MBEDTLS} ${MBEDX509} ${MBEDCRYPTO} "-Wl,--wrap=mbedtls_ssl_config_defaults")
      add_test(NAME esp32_tls COMMAND esp32_tls_test)
    endif()
  endif()
endif()
