//! Several `godwit serve` on one store: any of them takes deliveries, any of them works, and one of them dies.

mod regions;
mod several;
