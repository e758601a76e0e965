//! Products of one token over packed weights with VNNI, as `avx2::packed` has them.
#![allow(unsafe_code)]

/// With what AVX-512 has of VNNI.
pub(super) mod avx512 {
    crate::kernels::x86_64::avx2::packed::products!("avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
}

/// With AVX-VNNI.
pub(super) mod avx {
    crate::kernels::x86_64::avx2::packed::products!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);
}
