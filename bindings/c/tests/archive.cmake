# Prints the target of the archive that the package selects for a configuration, with stand-ins for the functions of Zephyr and ESP-IDF:
# cmake -DPACKAGE=FOLDER -DCONFIG_...=y -P archive.cmake, or cmake -DPACKAGE=FOLDER -DIDF_TARGET=CHIP -P archive.cmake

function(print archive)
    if(NOT archive MATCHES "lib/([^/]+)/libkinglet\\.a$")
        message(FATAL_ERROR "${archive} is not an archive of the package")
    endif()
    message(STATUS "${CMAKE_MATCH_1}")
endfunction()

function(headers folder)
    if(NOT EXISTS "${folder}/kinglet.h")
        message(FATAL_ERROR "${folder} has no kinglet.h")
    endif()
endfunction()

function(zephyr_include_directories folder)
    headers("${folder}")
endfunction()

function(zephyr_link_libraries archive)
    print("${archive}")
endfunction()

function(idf_component_register)
    cmake_parse_arguments(PARSE_ARGV 0 component "" "" INCLUDE_DIRS)
    headers("${PACKAGE}/${component_INCLUDE_DIRS}")
    set(COMPONENT_LIB __idf_kinglet PARENT_SCOPE)
endfunction()

function(add_prebuilt_library target archive)
    print("${archive}")
endfunction()

function(target_link_libraries target visibility library)
    if(NOT "${target} ${visibility} ${library}" STREQUAL "__idf_kinglet INTERFACE kinglet_archive")
        message(FATAL_ERROR "the component does not link its archive: ${ARGV}")
    endif()
endfunction()

if(IDF_TARGET)
    set(ESP_PLATFORM 1)
    include(${PACKAGE}/CMakeLists.txt)
else()
    set(CONFIG_KINGLET y)
    include(${PACKAGE}/zephyr/CMakeLists.txt)
endif()
