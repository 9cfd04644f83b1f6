mod brake;
mod convergence;
mod index;
mod placement;
mod planner;
mod properties;
mod scenario;
mod world;
