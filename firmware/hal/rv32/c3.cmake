# A bare-metal program for the ESP32-C3. It is an ELF file, from which `aiot firmware image create` makes an image for
# flash offset 0.
if(IS_ABSOLUTE "${picolibc}")
  set(c3_sources flatbuffer network_read operands interpreter quantized fixed_functions fixed_point walk window_axes arena kernels
    kernels_layers kernels_pool kernels_reduction kernels_arithmetic kernels_table kernels_softmax kernels_wide kernels_moves kernels_images kernels_real kernels_recurrent flexbuffer variables variables_read
    signal/kernels_signal signal/front_end signal/sample_transform signal/logarithm signal/turn)
  list(TRANSFORM c3_sources PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/core/src/)
  list(TRANSFORM c3_sources APPEND .c)
  list(APPEND c3_sources ${CMAKE_CURRENT_SOURCE_DIR}/hal/rv32/c3/main.c ${CMAKE_CURRENT_SOURCE_DIR}/test/emitted_motor.c
    ${CMAKE_CURRENT_SOURCE_DIR}/test/emitted_waves.c)
  set(c3_link ${CMAKE_CURRENT_SOURCE_DIR}/hal/rv32/c3/link.ld)
  set(c3_program ${CMAKE_CURRENT_BINARY_DIR}/aiot_c3.elf)
  # There is no small data section and no relaxation to it, because nothing sets gp.
  add_custom_command(
    OUTPUT ${c3_program}
    COMMAND ${AIOT_RV32_CC} -std=c11 -Os -march=rv32imc -mabi=ilp32 --specs=picolibc.specs -nostartfiles -msmall-data-limit=0
      -ffp-contract=off -ffunction-sections -fdata-sections -Wall -Wextra -Werror
      -I ${CMAKE_CURRENT_SOURCE_DIR}/core/include -I ${CMAKE_CURRENT_SOURCE_DIR}/test
      -T ${c3_link} -Wl,--no-relax -Wl,--gc-sections -Wl,--no-warn-rwx-segments ${c3_sources} -lm -o ${c3_program}
    DEPENDS ${c3_sources} ${c3_link} VERBATIM)
  add_custom_target(c3 ALL DEPENDS ${c3_program})
endif()
