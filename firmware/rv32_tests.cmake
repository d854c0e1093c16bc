# Runs the same tests on the ESP32-C3's instruction set in an emulator, if the compiler, picolibc and the emulator are
# installed. The golden values are those of the host, so a test that passes shows that the results are bit-exact.
find_program(AIOT_RV32_CC riscv64-unknown-elf-gcc)
find_program(AIOT_RV32_EMULATOR qemu-system-riscv32)

# aiot_rv32_test(NAME MAIN [DEFINITION...]): compiles MAIN with the core's sources.
function(aiot_rv32_test name main)
  get_target_property(sources aiot_core SOURCES)
  list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ REGEX "^[^/]")
  set(program ${CMAKE_CURRENT_BINARY_DIR}/${name}_rv32.elf)
  add_custom_command(
    OUTPUT ${program}
    COMMAND ${AIOT_RV32_CC} -std=c11 -Os -march=rv32imc -mabi=ilp32 --specs=picolibc.specs --oslib=semihost --crt0=semihost
      -ffp-contract=off -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes ${ARGN}
      -Wl,--defsym=__flash=0x80000000 -Wl,--defsym=__flash_size=0x400000 -Wl,--defsym=__ram=0x80400000 -Wl,--defsym=__ram_size=0x400000
      -ffunction-sections -Wl,--gc-sections
      -I ${CMAKE_CURRENT_SOURCE_DIR}/core/include ${sources} ${CMAKE_CURRENT_SOURCE_DIR}/${main} -lm -o ${program}
    DEPENDS ${sources} ${main} VERBATIM)
  add_custom_target(${name}_rv32 ALL DEPENDS ${program})
  add_dependencies(rv32 ${name}_rv32)
  add_test(NAME ${name}_rv32 COMMAND ${AIOT_RV32_EMULATOR} -machine virt -cpu rv32 -bios none -nographic
    -semihosting-config enable=on,target=native -kernel ${program})
  set_tests_properties(${name}_rv32 PROPERTIES TIMEOUT 120 PASS_REGULAR_EXPRESSION "[0-9] checks passed, 0 failed")
endfunction()

# The path of a file of the C library if it is installed, otherwise only its name.
set(picolibc "")
if(AIOT_RV32_CC)
  execute_process(COMMAND ${AIOT_RV32_CC} -print-file-name=picolibc.specs OUTPUT_VARIABLE picolibc OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()

if(AIOT_RV32_EMULATOR AND IS_ABSOLUTE "${picolibc}")
  # Builds all of them with `cmake --build BUILD --target rv32`.
  add_custom_target(rv32)
  aiot_rv32_test(signal test/signal_test.c)
  aiot_rv32_test(spectrum test/spectrum_test.c)
  aiot_rv32_test(predictor test/predictor_test.c "-DAIOT_FIXTURES=\"${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles\"")
  aiot_rv32_test(objects test/objects_test.c)
  aiot_rv32_test(fit test/fit_test.c)
  aiot_rv32_test(interpreter test/interpreter_test.c)
  aiot_rv32_test(guide test/guide_test.c -DAIOT_STRIDE=16)
  aiot_rv32_test(emitted test/emitted_test.c ${CMAKE_CURRENT_SOURCE_DIR}/test/emitted_motor.c ${CMAKE_CURRENT_SOURCE_DIR}/test/emitted_waves.c)
  # With one instruction per nanosecond, the counts per layer are the same in every run.
  add_test(NAME emitted_rv32_counted COMMAND ${AIOT_RV32_EMULATOR} -machine virt -cpu rv32 -bios none -nographic -icount shift=0
    -semihosting-config enable=on,target=native -kernel ${CMAKE_CURRENT_BINARY_DIR}/emitted_rv32.elf)
  set_tests_properties(emitted_rv32_counted PROPERTIES TIMEOUT 120
    PASS_REGULAR_EXPRESSION "FULLY_CONNECTED and LOGISTIC.: [1-9][0-9]* instructions")
endif()
