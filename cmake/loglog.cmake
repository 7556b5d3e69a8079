# Compiler settings and the functions every folder uses:
#   loglog_library(NAME [SRCS ...] DEPS ...)  a library of the folder's *.cc
#   loglog_test(NAME [SRCS ...] DEPS ...)     one gtest binary of its *_test.cc
#   loglog_study(NAME SRCS ... DEPS ...)      one gtest binary of simulations, release only
include_guard(GLOBAL)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1 -fno-omit-frame-pointer")

set(LOGLOG_SANITIZE "" CACHE STRING "address (ASan+UBSan), thread, or empty")
if(LOGLOG_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(LOGLOG_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(NOT LOGLOG_SANITIZE STREQUAL "")
  message(FATAL_ERROR "LOGLOG_SANITIZE is '${LOGLOG_SANITIZE}'; choose address, thread or nothing")
endif()

option(LOGLOG_FUZZ "Build the fuzzers, with clang, and only what they need" OFF)
if(LOGLOG_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "LOGLOG_FUZZ needs clang, not ${CMAKE_CXX_COMPILER}; use the preset fuzz")
  endif()
  # The counters of edges that steer libFuzzer, in all of our code; its main comes at the link
  # of each fuzzer.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

find_program(LOGLOG_CCACHE ccache)
if(LOGLOG_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The base directory lets two clones in different folders share cached objects.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${LOGLOG_CCACHE})
endif()
# Off: docs/decisions/linker.md.
option(LOGLOG_USE_MOLD "Link with mold when it is found" OFF)
find_program(LOGLOG_MOLD_PROGRAM mold)
if(LOGLOG_USE_MOLD AND LOGLOG_MOLD_PROGRAM AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Debian's mold now and then lays a program out so that the loader cannot make its
  # relocated pages read-only, and it does not start (mold issue 1151).
  add_link_options(-fuse-ld=mold -Wl,-z,norelro)
endif()

# Repository root on the include path: every include is spelled "folder/file.h".
get_filename_component(LOGLOG_ROOT ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)

function(loglog_options target)
  target_include_directories(${target} PRIVATE ${LOGLOG_ROOT})
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -Wno-sign-compare
      -Wno-missing-field-initializers)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 sees overlaps in std::string's operator+ (GCC bug 105329) and unset members in
    # std::variant that are not there.
    target_compile_options(${target} PRIVATE -Wno-restrict -Wno-maybe-uninitialized)
  endif()
endfunction()

function(loglog_library name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_SRCS)
    file(GLOB ARG_SRCS CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
    list(FILTER ARG_SRCS EXCLUDE REGEX "_(test|main|testing)\\.cc$")
  endif()
  add_library(${name} STATIC ${ARG_SRCS})
  loglog_options(${name})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

option(LOGLOG_UNIT_TESTS "Build the control plane's unit tests" ON)

function(loglog_test name)
  if(NOT LOGLOG_UNIT_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_SRCS)
    file(GLOB ARG_SRCS CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cc)
  endif()
  if(NOT ARG_SRCS)
    return()
  endif()
  add_executable(${name} ${ARG_SRCS})
  loglog_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  # One process for all of a program's tests: a thousand starts under a sanitizer take a minute.
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS unit)
  if(LOGLOG_SANITIZE STREQUAL "thread")
    set_property(TEST ${name} PROPERTY ENVIRONMENT
                 "TSAN_OPTIONS=suppressions=${LOGLOG_ROOT}/tests/tsan_suppressions.txt")
  endif()
endfunction()

option(LOGLOG_STUDIES "Build the simulation studies (optimized builds)" OFF)

function(loglog_study name)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SRCS})
  loglog_options(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS study)
endfunction()
