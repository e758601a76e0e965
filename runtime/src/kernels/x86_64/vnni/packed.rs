//! Products of one token over packed weights: those of `avx2::packed`, with VNNI.
#![allow(unsafe_code)]

/// The products with AVX-512 VNNI.
pub(super) mod avx512 {
    crate::kernels::x86_64::avx2::packed::products!("avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
}

/// The products with AVX-VNNI.
pub(super) mod avx {
    crate::kernels::x86_64::avx2::packed::products!("avx2,avxvnni", _mm256_dpbusd_avx_epi32);
}
