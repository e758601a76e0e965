use super::*;

#[test]
fn a_point_leaves_a_headroom_of_eight_and_thirteen_bits() {
    for largest in [1e-20_f32, 1e-4, 0.3, 1.0, 4095.0, 4096.0, 4097.0, 2e5, 4.2e6, 1e12] {
        let chosen = point(largest, largest);
        let held = libm::ldexp(f64::from(largest), chosen);
        assert!(held * 8.0 <= libm::ldexp(1.0, 31), "{largest} at {chosen} bits");
        if chosen == USUAL_BITS {
            assert!((libm::ldexp(1.0, -7)..=4096.0).contains(&f64::from(largest)), "{largest}");
        } else {
            assert!(held >= libm::ldexp(1.0, ENOUGH_BITS - 1), "{largest} at {chosen} bits");
        }
    }
    // Numbers that are large in one layer and small in another keep the headroom.
    assert_eq!(point(4.2e6, 1e-4), fitting(4.2e6));
    assert_eq!(point(0.0, 0.0), USUAL_BITS);
}

#[test]
fn an_epsilon_is_scaled_to_the_nearest() {
    assert_eq!([0, 3, -1, -2, -70].map(|power| scale_epsilon(7, power)), [7, 56, 4, 2, 0]);
}
