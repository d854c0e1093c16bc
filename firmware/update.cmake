# Bundles, manifests, flash and updates.
target_sources(aiot_core PRIVATE
  core/src/base64.c core/src/crc32.c core/src/nvs.c
  core/src/update/delta.c core/src/update/document.c core/src/update/download.c core/src/update/envelope.c core/src/update/error.c
  core/src/update/fetch.c core/src/update/job.c core/src/update/judge.c core/src/update/keeper.c core/src/update/kept.c
  core/src/update/manifest.c core/src/update/names.c core/src/update/patch.c core/src/update/record.c core/src/update/record_write.c
  core/src/update/sector.c core/src/update/store.c core/src/update/timestamp.c core/src/update/transfer.c core/src/update/trial.c core/src/update/trust.c core/src/update/update.c)

add_executable(bundle_test test/bundle_test.c)
target_link_libraries(bundle_test PRIVATE aiot_core)
add_test(NAME bundle COMMAND bundle_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles/motion.aiot)
add_test(NAME bundle_objects COMMAND bundle_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles/parts.aiot)
add_test(NAME bundle_stream COMMAND bundle_test ${CMAKE_CURRENT_SOURCE_DIR}/test/fixtures/bundles/wake-stream.aiot)

# Enrollment with the key of a batch.
target_sources(aiot_core PRIVATE core/src/enroll/answer.c core/src/enroll/enroll.c core/src/enroll/request.c core/src/enroll/store.c)

# Used by TypeScript tests, which create the patches.
aiot_tool(delta_tool aiot_core)

# Targets that need cryptography are built if OpenSSL is installed.
find_package(OpenSSL 3)
if(OPENSSL_FOUND)
  add_library(aiot_crypto_openssl STATIC hal/host/crypto_openssl.c)
  target_include_directories(aiot_crypto_openssl PUBLIC hal/host)
  target_link_libraries(aiot_crypto_openssl PUBLIC aiot_core OpenSSL::Crypto)
endif()

if(OPENSSL_FOUND)
  add_library(aiot_sim STATIC test/sim_flash.c test/sim_device.c test/release.c test/roots.c test/patch.c test/trust_world.c test/update_bench.c test/enroll_keys.c)
  target_include_directories(aiot_sim PUBLIC test)
  target_link_libraries(aiot_sim PUBLIC aiot_crypto_openssl)
  foreach(name cable enroll power_cut trust update update_course)
    add_executable(${name}_test test/${name}_test.c)
    target_link_libraries(${name}_test PRIVATE aiot_sim)
    add_test(NAME ${name} COMMAND ${name}_test)
  endforeach()
  # Used by TypeScript tests, which provide cases and expected results.
  aiot_tool(update_tool aiot_sim)
  aiot_tool(trust_tool aiot_crypto_openssl)
  aiot_tool(enroll_tool aiot_sim)
endif()
