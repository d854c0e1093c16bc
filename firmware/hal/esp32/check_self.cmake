# cmake -P: tests that check.cmake reports an unused declaration. WORK: a folder for it.
file(REMOVE_RECURSE "${WORK}")
file(COPY "${INTERFACES}" DESTINATION "${WORK}")
file(WRITE "${WORK}/interfaces/more.h" "int aiot_used_by_nobody(int x);\n")
execute_process(COMMAND ${CMAKE_COMMAND} "-DSOURCES=${SOURCES}" "-DINTERFACES=${WORK}/interfaces" -P "${CHECK}" RESULT_VARIABLE result ERROR_VARIABLE told)
if(result EQUAL 0 OR NOT told MATCHES "aiot_used_by_nobody")
  message(FATAL_ERROR "expected it to be told, got ${result}: ${told}")
endif()
