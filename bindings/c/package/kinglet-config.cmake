# Finds the package that `cargo xtask c` writes: include/kinglet.h and lib/<target>/libkinglet.a.
if(NOT DEFINED KINGLET_TARGET)
    set(KINGLET_TARGET x86_64-unknown-linux-gnu)
endif()
set(_kinglet_archive "${CMAKE_CURRENT_LIST_DIR}/lib/${KINGLET_TARGET}/libkinglet.a")
if(NOT EXISTS "${_kinglet_archive}")
    set(kinglet_FOUND FALSE)
    set(kinglet_NOT_FOUND_MESSAGE "there is no ${_kinglet_archive}: `cargo xtask c --target ${KINGLET_TARGET}` builds it")
    return()
endif()
if(NOT TARGET kinglet::kinglet)
    add_library(kinglet::kinglet STATIC IMPORTED)
    set_target_properties(kinglet::kinglet PROPERTIES
        IMPORTED_LOCATION "${_kinglet_archive}"
        INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}/include"
        INTERFACE_LINK_OPTIONS "LINKER:--gc-sections")
endif()
unset(_kinglet_archive)
