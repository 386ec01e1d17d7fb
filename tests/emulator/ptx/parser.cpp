#include "ptx/parser.h"

namespace emu::ptx {

std::unique_ptr<Module> parse(std::string text) {
  auto module = std::make_unique<Module>();
  // Fatbins pad PTX with zero bytes.
  while (!text.empty() && text.back() == '\0') text.pop_back();
  module->text = std::move(text);
  Parser(*module, module->text).run();
  return module;
}

void Parser::run() {
  while (lexer_.peek().kind != Token::Kind::end) module_statement();
  if (module_.version == 0) throw Error(1, "a module begins with .version");
}

void Parser::module_statement() {
  if (lexer_.peek().kind != Token::Kind::directive) lexer_.unexpected("a directive");
  bool is_extern = false;
  for (;;) {
    const Token token = lexer_.next();
    const std::string_view word = token.text;
    if (word == ".extern") {
      is_extern = true;
      continue;
    }
    if (word == ".visible" || word == ".weak" || word == ".common") continue;
    if (word == ".version") {
      // Several files one after the other, as relocatable device code is: each numbers its sources anew.
      if (!module_.files.empty()) first_file_ = module_.files.rbegin()->first + 1;
      const std::string_view number = lexer_.next().text;
      const bool right = number.size() == 3 && number[0] > '0' && number[0] <= '9' && number[1] == '.' &&
                         number[2] >= '0' && number[2] <= '9';
      if (!right) throw Error(token.line, ".version needs major.minor");
      module_.version = (number[0] - '0') * 10 + (number[2] - '0');
    } else if (word == ".target") {
      module_.target = lexer_.expect_name().text;
      while (lexer_.accept(',')) lexer_.expect_name();
    } else if (word == ".address_size") {
      if (lexer_.expect_integer() != 64) throw Error(token.line, "only .address_size 64 is supported");
    } else if (word == ".file") {
      file();
    } else if (word == ".loc") {
      location();
    } else if (word == ".section") {
      lexer_.next();
      lexer_.expect('{');
      lexer_.skip_braces();
    } else if (word == ".pragma") {
      lexer_.skip_past(';');
    } else if (word == ".entry" || word == ".func") {
      function(word == ".entry");
    } else if (const Space space = space_of(word); space != Space::generic) {
      if (space == Space::param) throw Error(token.line, ".param is not supported here");
      variables(space, module_.variables, is_extern);
    } else {
      throw Error(token.line, "directive " + std::string(word) + " is not supported");
    }
    return;
  }
}

void Parser::file() {
  const auto index = first_file_ + static_cast<uint32_t>(lexer_.expect_integer());
  module_.files[index] = lexer_.next().text;
  while (lexer_.accept(',')) lexer_.expect_integer();
}

// .loc file line column [, function_name label [+ offset], inlined_at file line column]
// Where that was inlined itself is what the last .loc of that place has said.
void Parser::location() {
  Source place = source_place();
  while (lexer_.accept(',')) {
    const Token what = lexer_.expect_name();
    if (what.text == "function_name") {
      lexer_.expect_name();
      if (lexer_.accept('+')) lexer_.expect_integer();
    } else {
      const Source caller = source_place();
      const auto known = places_.find({caller.file, caller.line, caller.column});
      if (known != places_.end()) place.caller = known->second;
    }
  }
  source_ = static_cast<int32_t>(module_.sources.size());
  module_.sources.push_back(place);
  places_[{place.file, place.line, place.column}] = source_;
  if (place.line == 0) source_ = -1;
}

Source Parser::source_place() {
  const auto file = first_file_ + static_cast<uint32_t>(lexer_.expect_integer());
  const auto line = static_cast<uint32_t>(lexer_.expect_integer());
  return {file, line, static_cast<uint32_t>(lexer_.expect_integer())};
}

void Parser::parameters(std::vector<Variable>& into) {
  if (!lexer_.accept('(')) return;
  while (!lexer_.accept(')')) {
    const Token token = lexer_.next();
    const bool in_register = token.text == ".reg";
    if (!in_register && token.text != ".param") throw Error(token.line, "expected .param or .reg");
    into.push_back(declarator(declaration(in_register ? Space::reg : Space::param)));
    const Variable& added = into.back();
    if (in_register && (added.lanes > 1 || added.type == Type::pred || size_of(added.type) < 2))
      throw Error(token.line, ".reg parameters are supported of 16 to 128 bits only");
    if (!lexer_.accept(',') && !lexer_.peek().is(')')) lexer_.unexpected("',' or ')'");
  }
}

void Parser::function(bool is_entry) {
  auto owned = std::make_unique<Function>();
  function_ = owned.get();
  function_->is_entry = is_entry;
  if (!is_entry) parameters(function_->returns);
  const Token name = lexer_.expect_name();
  function_->name = name.text;
  function_->line = name.line;
  parameters(function_->parameters);
  for (const Variable& parameter : function_->parameters) {
    if (is_entry && (parameter.size == 0 || parameter.space == Space::reg))
      throw Error(name.line,
                  "parameter " + std::string(parameter.name) + " of an entry must be a .param with a size");
  }
  function_directives(*function_);
  module_.functions.push_back(std::move(owned));
  if (lexer_.accept(';')) return;
  lexer_.expect('{');
  function_->has_body = true;
  source_ = -1;
  names_.emplace_back();
  for (const auto* list : {&function_->returns, &function_->parameters}) {
    for (const Variable& variable : *list) names_.back()[variable.name] = variable.name;
  }
  body();
  names_.pop_back();
}

void Parser::function_directives(Function& function) {
  while (lexer_.peek().kind == Token::Kind::directive) {
    const Token token = lexer_.next();
    const std::string_view word = token.text;
    const bool required = word == ".reqntid";
    if (word == ".maxntid" || required) {
      uint32_t extent[3] = {static_cast<uint32_t>(lexer_.expect_integer()), 1, 1};
      for (int i = 1; i < 3 && lexer_.accept(','); ++i)
        extent[i] = static_cast<uint32_t>(lexer_.expect_integer());
      function.max_threads = extent[0] * extent[1] * extent[2];
      for (int i = 0; required && i < 3; ++i) function.required_threads[i] = extent[i];
    } else if (word == ".minnctapersm") {
      function.min_blocks = static_cast<uint32_t>(lexer_.expect_integer());
    } else if (word == ".maxnctapersm" || word == ".maxnreg" || word == ".maxclusterrank") {
      lexer_.expect_integer();
    } else if (word == ".pragma") {
      lexer_.skip_past(';');
    } else if (word != ".noreturn") {
      throw Error(token.line, "directive " + std::string(word) + " is not supported");
    }
  }
}

}  // namespace emu::ptx
