mod brake;
mod convergence;
mod placement;
mod properties;
mod scenario;
mod world;
