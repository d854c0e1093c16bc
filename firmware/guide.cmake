# A board that uses the guide's protocol.
target_sources(aiot_core PRIVATE
  core/src/guide/board.c core/src/guide/message.c core/src/guide/network.c core/src/guide/news.c core/src/guide/services.c core/src/guide/text.c)

add_executable(guide_test test/guide_test.c)
target_link_libraries(guide_test PRIVATE aiot_core)
add_test(NAME guide COMMAND guide_test)
