# A stand-in for the part of Zephyr's build that the module and its sample use. It builds the sample as a program for this machine.

# Options of the application.
file(STRINGS prj.conf options)
foreach(option IN LISTS options)
    string(REPLACE "=" ";" pair "${option}")
    list(GET pair 0 name)
    list(GET pair 1 value)
    set(${name} ${value})
endforeach()
# The board `native_sim/native/64`.
set(CONFIG_ARCH_POSIX y)
set(CONFIG_64BIT y)

project(Zephyr C)
add_executable(app)
# Zephyr's linker drops what is unused, too.
target_link_options(app PRIVATE LINKER:--gc-sections)

function(zephyr_include_directories)
    target_include_directories(app PRIVATE ${ARGV})
endfunction()

function(zephyr_link_libraries)
    target_link_libraries(app PRIVATE ${ARGV})
endfunction()

# Modules, as their `module.yml` describes them.
foreach(module IN LISTS ZEPHYR_EXTRA_MODULES)
    file(READ ${module}/zephyr/module.yml description)
    if(NOT description MATCHES "\n  cmake: ([^\n]+)\n")
        message(FATAL_ERROR "${module}/zephyr/module.yml names no folder for CMake")
    endif()
    add_subdirectory(${module}/${CMAKE_MATCH_1} module)
endforeach()
