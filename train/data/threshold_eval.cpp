#include "train/data/threshold_eval.h"

#include <algorithm>
#include <cmath>

#include "models/inference/relevance.h"
#include "train/data/caption_words.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr const char* kOftenAbsent =
    "tractor submarine volcano sandwich pancake giraffe kangaroo octopus lobster jellyfish walrus "
    "hedgehog raccoon squirrel beaver otter penguin ostrich flamingo parrot pigeon swan vulture "
    "mosquito cockroach grasshopper caterpillar scorpion lizard crocodile skyscraper escalator elevator "
    "staircase balcony chimney fireplace bathtub shower toilet sink faucet refrigerator oven stove "
    "toaster blender kettle teapot saucer napkin tablecloth pillow blanket mattress curtain carpet "
    "wardrobe drawer closet bookshelf spaghetti noodle dumpling sushi burrito taco omelette sausage "
    "bacon steak meatball waffle doughnut muffin pretzel popcorn pineapple mango papaya coconut avocado "
    "blueberry raspberry blackberry apricot plum fig celery broccoli cauliflower spinach cabbage "
    "lettuce cucumber surfboard skateboard snowboard trampoline treadmill dumbbell hammock tent canoe "
    "kayak raft paddle snorkel wheelchair stroller ambulance forklift bulldozer excavator scooter moped "
    "limousine caravan trailer tram subway monorail gondola saxophone trombone tuba harmonica bagpipe "
    "cello harp xylophone tambourine stethoscope syringe thermometer bandage dentist surgeon nurse "
    "astronaut firefighter butcher barber plumber necklace bracelet earring sweater cardigan jacket "
    "raincoat pajamas slipper sandal mitten scarf apron waterfall canyon glacier iceberg desert swamp "
    "meadow orchard vineyard harbor lagoon cliff microwave dishwasher vacuum projector typewriter "
    "telescope binoculars microscope sunglasses lipstick perfume toothbrush toothpaste shampoo towel "
    "wedding funeral graduation parade carnival picnic concert rodeo marathon wrestling karate ballet "
    "choir ";

Json share_json(double share) { return std::isnan(share) ? Json() : Json(share); }

}  // namespace

std::span<const std::string> words_often_absent() {
  static const Words words = caption_words(kOftenAbsent);
  return words;
}

ThresholdScores evaluate_threshold(const ClipModel& model, const Tokenizer& tokenizer,
                                   const PictureCollection& collection, std::span<const std::string> words,
                                   std::span<const std::string> templates) {
  Words present, absent;
  const auto pictures = pictures_with_words(collection.captions, words);
  for (size_t w = 0; w < words.size(); ++w)
    if (std::ssize(pictures[w]) >= ThresholdScores::kLeastPictures) present.push_back(words[w]);
  const std::span<const std::string> others = words_often_absent();
  const auto of_others = pictures_with_words(collection.captions, others);
  for (size_t w = 0; w < others.size(); ++w)
    if (of_others[w].empty()) absent.push_back(others[w]);

  ThresholdScores scores{.present = std::ssize(present), .absent = std::ssize(absent), .forms = {}};
  const auto add = [&](const std::string& name, std::span<const std::string> patterns) {
    const RelevanceScale scale = make_relevance_scale(model, tokenizer, collection.features, patterns);
    const auto share_refused = [&](const Words& asked) {
      const std::vector<double> of =
          relevance_scores(scale, model, tokenizer, plain_queries(asked), patterns);
      const auto refused =
          std::count_if(of.begin(), of.end(), [&](double s) { return !scale.is_relevant(s); });
      return static_cast<double>(refused) / static_cast<double>(of.size());  // NaN of none
    };
    scores.forms.push_back({name, scale.threshold(), share_refused(present), share_refused(absent)});
  };
  add("plain", Words{"{}"});
  if (!templates.empty()) add("templates", templates);
  return scores;
}

Json to_json(const ThresholdScores& scores) {
  Json json = {{"least_pictures", ThresholdScores::kLeastPictures},
               {"words_present", scores.present},
               {"words_absent", scores.absent}};
  for (const ThresholdForm& form : scores.forms) {
    json[form.name] = {{"threshold", form.threshold},
                       {"missed", share_json(form.missed)},
                       {"refused", share_json(form.refused)}};
  }
  return json;
}

}  // namespace cuclip
