//! Runs a function with the processor's 256-bit registers where it has them.

/// Defines a function whose body is compiled twice, for any processor and for one with AVX2, and
/// picked when called. No fused multiply-add: both copies round alike, so that a picture gives the
/// same bits on every machine.
macro_rules! on_wide_registers {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn any($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    any($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor was just asked and has AVX2.
                    return unsafe { wide($($arg),*) };
                }
            }
            any($($arg),*)
        }
    };
}

pub(crate) use on_wide_registers;
