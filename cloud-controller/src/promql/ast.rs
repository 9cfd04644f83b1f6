//! A query as it is evaluated.

use super::matcher::Matcher;

/// A query that was parsed.
#[derive(Debug, Clone)]
pub struct Query {
    pub(super) root: Expr,
    pub(super) selectors: Vec<Selector>,
}

impl Query {
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }
}

/// Which series, and when.
#[derive(Debug, Clone)]
pub struct Selector {
    /// The name is a matcher of `__name__`.
    pub matchers: Vec<Matcher>,
    /// None selects one moment.
    pub(super) range_ms: Option<i64>,
    pub(super) offset_ms: i64,
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Number(f64),
    /// By its place in `Query::selectors`.
    Selector(usize),
    Negate(Box<Expr>),
    Call {
        function: Function,
        /// Only of functions that want one.
        parameter: Option<Box<Expr>>,
        selector: usize,
    },
    Aggregate {
        operator: Operator,
        grouping: Grouping,
        parameter: Option<Box<Expr>>,
        of: Box<Expr>,
    },
    Binary {
        operation: Operation,
        /// Of a comparison: 0 and 1 instead of what fits.
        as_bool: bool,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}

/// Which labels tell groups apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name {
            $($variant,)+
        }

        impl $name {
            /// As they are written.
            pub(super) const NAMES: &'static [&'static str] = &[$($text,)+];

            pub(super) fn of(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    /// Functions over a range.
    Function {
        Rate = "rate",
        Increase = "increase",
        SumOverTime = "sum_over_time",
        AvgOverTime = "avg_over_time",
        MinOverTime = "min_over_time",
        MaxOverTime = "max_over_time",
        CountOverTime = "count_over_time",
        LastOverTime = "last_over_time",
        QuantileOverTime = "quantile_over_time",
    }
}

names! {
    /// What makes one number of a group.
    Operator {
        Sum = "sum",
        Avg = "avg",
        Min = "min",
        Max = "max",
        Count = "count",
        Quantile = "quantile",
        TopK = "topk",
        BottomK = "bottomk",
    }
}

impl Operator {
    pub(super) fn wants_parameter(self) -> bool {
        matches!(self, Self::Quantile | Self::TopK | Self::BottomK)
    }
}

names! {
    /// Between two operands.
    Operation {
        Add = "+",
        Subtract = "-",
        Multiply = "*",
        Divide = "/",
        Equal = "==",
        NotEqual = "!=",
        Greater = ">",
        Less = "<",
        GreaterOrEqual = ">=",
        LessOrEqual = "<=",
    }
}

impl Operation {
    pub(super) fn is_comparison(self) -> bool {
        self.precedence() == 0
    }

    /// The higher binds tighter.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Multiply | Self::Divide => 2,
            Self::Add | Self::Subtract => 1,
            _ => 0,
        }
    }
}
