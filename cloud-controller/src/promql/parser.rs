//! Tokens to a query: recursive descent, one function for each rule.

use super::ast::{Expr, Function, Grouping, Operation, Operator, Query, Selector};
use super::lexer::{Kind, Token, tokens};
use super::matcher::Matcher;
use super::{DEPTH_MAX, Error, QUERY_MAX_BYTES, SELECTORS_MAX};

/// The label that a series's name is.
const NAME: &str = "__name__";

/// Parse a query.
pub fn parse(text: &str) -> Result<Query, Error> {
    if text.len() > QUERY_MAX_BYTES {
        return Err(Error::TooMuch {
            what: format!("the query is longer than {QUERY_MAX_BYTES} bytes"),
            advice: "ask for fewer apps at once",
        });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        selectors: Vec::new(),
    };
    if *parser.peek() == Kind::End {
        return Err(parser.error("the query is empty: name a series, such as cpu"));
    }
    let root = parser.binary(0)?;
    if *parser.peek() != Kind::End {
        return Err(parser.error("the query should end here, or go on with an operator"));
    }
    Ok(Query {
        root,
        selectors: parser.selectors,
    })
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    selectors: Vec<Selector>,
}

impl Parser {
    fn token(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Kind {
        &self.token().kind
    }

    fn take(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.next += 1;
        kind
    }

    fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax {
            at: self.token().at,
            message: message.into(),
        }
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Kind::Sign(found) if *found == sign);
        if found {
            self.next += 1;
        }
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Kind::Word(found) if found.eq_ignore_ascii_case(word));
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Error> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.error(format!("'{sign}' is missing here"))),
        }
    }

    fn binary(&mut self, least: u8) -> Result<Expr, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
        }
        let mut left = self.unary()?;
        while let Kind::Sign(sign) = self.peek()
            && let Some(operation) = Operation::of(sign)
            && operation.precedence() >= least
        {
            self.next += 1;
            let as_bool = self.takes_word("bool");
            if as_bool && !operation.is_comparison() {
                return Err(self.error("bool goes with comparisons only"));
            }
            let right = self.binary(operation.precedence() + 1)?;
            left = Expr::Binary {
                operation,
                as_bool,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
        if let Kind::Word(word) = self.peek()
            && ["and", "or", "unless"].contains(&word.as_str())
        {
            let message = format!("'{word}' is not supported: send two queries");
            return Err(self.error(message));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Error> {
        if self.takes("-") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
            }
            let negated = self.unary()?;
            self.depth -= 1;
            return Ok(Expr::Negate(Box::new(negated)));
        }
        self.takes("+");
        self.primary()
    }

    fn primary(&mut self) -> Result<Expr, Error> {
        match self.peek().clone() {
            Kind::Number(number) => {
                self.next += 1;
                Ok(Expr::Number(number))
            }
            Kind::Sign("(") => {
                self.next += 1;
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Sign("{") => self.selector(None).map(Expr::Selector),
            Kind::Word(word) => self.word(&word),
            Kind::End => Err(self.error("something is missing at the end")),
            Kind::Sign(sign) if Operation::NAMES.contains(&sign) => {
                Err(self.error(format!("'{sign}' has nothing before it")))
            }
            _ => Err(self.error("a series, a number, a function or '(' should be here")),
        }
    }

    fn word(&mut self, word: &str) -> Result<Expr, Error> {
        let followed_by = |parser: &Self, sign: &str| {
            let next = parser.tokens.get(parser.next + 1).map(|token| &token.kind);
            matches!(next, Some(Kind::Sign(found)) if *found == sign)
        };
        if let Some(operator) = Operator::of(word)
            && (followed_by(self, "(") || self.groups_next())
        {
            self.next += 1;
            return self.aggregate(operator);
        }
        if followed_by(self, "(") {
            let Some(function) = Function::of(word) else {
                let known = [Function::NAMES, Operator::NAMES].concat().join(", ");
                return Err(self.error(format!("there is no function {word}: use one of {known}")));
            };
            self.next += 1;
            return self.call(function);
        }
        self.next += 1;
        self.selector(Some(word)).map(Expr::Selector)
    }

    /// `sum by (...)`: the word after the present one.
    fn groups_next(&self) -> bool {
        let next = self.tokens.get(self.next + 1).map(|token| &token.kind);
        matches!(next, Some(Kind::Word(word)) if word == "by" || word == "without")
    }

    fn call(&mut self, function: Function) -> Result<Expr, Error> {
        self.expect("(")?;
        let parameter = match function {
            Function::QuantileOverTime => {
                let parameter = self.binary(0)?;
                self.expect(",")?;
                Some(Box::new(parameter))
            }
            _ => None,
        };
        let at = self.token().at;
        let Expr::Selector(selector) = self.binary(0)? else {
            let message = "the function wants a series over a time, such as cpu[1m]".to_owned();
            return Err(Error::Syntax { at, message });
        };
        if self.selectors[selector].range_ms.is_none() {
            let message = "the function wants a time after the series, such as cpu[1m]".to_owned();
            return Err(Error::Syntax { at, message });
        }
        self.expect(")")?;
        Ok(Expr::Call {
            function,
            parameter,
            selector,
        })
    }

    fn aggregate(&mut self, operator: Operator) -> Result<Expr, Error> {
        let before = self.grouping()?;
        self.expect("(")?;
        let parameter = match operator.wants_parameter() {
            true => {
                let parameter = self.binary(0)?;
                self.expect(",")?;
                Some(Box::new(parameter))
            }
            false => None,
        };
        let of = self.binary(0)?;
        self.expect(")")?;
        let grouping = match before {
            Some(grouping) => Some(grouping),
            None => self.grouping()?,
        };
        Ok(Expr::Aggregate {
            operator,
            grouping: grouping.unwrap_or(Grouping::By(Vec::new())),
            parameter,
            of: Box::new(of),
        })
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, Error> {
        let is_by = self.takes_word("by");
        if !is_by && !self.takes_word("without") {
            return Ok(None);
        }
        self.expect("(")?;
        let mut labels = Vec::new();
        while !self.takes(")") {
            let Kind::Word(label) = self.take() else {
                self.next -= 1;
                return Err(self.error("a label should be here"));
            };
            labels.push(label);
            if !self.takes(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(Some(match is_by {
            true => Grouping::By(labels),
            false => Grouping::Without(labels),
        }))
    }

    /// From its braces on; the name was taken.
    fn selector(&mut self, name: Option<&str>) -> Result<usize, Error> {
        if self.selectors.len() == SELECTORS_MAX {
            return Err(self.error(format!(
                "a query may have {SELECTORS_MAX} selectors at most"
            )));
        }
        let mut matchers = Vec::new();
        if let Some(name) = name {
            let matcher = Matcher::new(NAME, "=", name);
            matchers.push(matcher.map_err(|message| self.error(message))?);
        }
        if self.takes("{") {
            self.matchers(&mut matchers)?;
        }
        if matchers.is_empty() {
            return Err(self.error("name a series or at least one label"));
        }
        let range_ms = match self.takes("[") {
            true => {
                let range = self.duration()?;
                self.expect("]")?;
                Some(range)
            }
            false => None,
        };
        let offset_ms = match self.takes_word("offset") {
            true => self.duration()?,
            false => 0,
        };
        self.selectors.push(Selector {
            matchers,
            range_ms,
            offset_ms,
        });
        Ok(self.selectors.len() - 1)
    }

    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), Error> {
        while !self.takes("}") {
            let Kind::Word(label) = self.take() else {
                self.next -= 1;
                return Err(self.error("a label should be here, such as source_id"));
            };
            let operator = match self.take() {
                Kind::Sign(sign @ ("=" | "!=" | "=~" | "!~")) => sign,
                _ => {
                    self.next -= 1;
                    return Err(self.error("one of = != =~ !~ should be here"));
                }
            };
            let Kind::Text(value) = self.take() else {
                self.next -= 1;
                return Err(self.error("a value in quotes should be here"));
            };
            let matcher = Matcher::new(&label, operator, &value);
            matchers.push(matcher.map_err(|message| self.error(message))?);
            if !self.takes(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(())
    }

    fn duration(&mut self) -> Result<i64, Error> {
        match self.take() {
            Kind::Duration(ms) if ms > 0 => Ok(ms),
            _ => {
                self.next -= 1;
                Err(self.error("a duration such as 15s or 1h30m should be here"))
            }
        }
    }
}
